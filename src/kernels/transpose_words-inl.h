// Transposes numbers of 32 bits in registers of 512 bits; in memory see transpose-inl.h. Included
// once for each instruction set.
#if defined(PREPACK_KERNELS_TRANSPOSE_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_TRANSPOSE_WORDS_INL_H_
#undef PREPACK_KERNELS_TRANSPOSE_WORDS_INL_H_
#else
#define PREPACK_KERNELS_TRANSPOSE_WORDS_INL_H_
#endif

#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

using WordVec = hn::Vec<Words>;
constexpr int kNumWords = hn::MaxLanes(Words());
static_assert(kNumWords == 16);

/// Each block of four lanes of four vectors is a 4 x 4 matrix of its own.
HWY_INLINE void transpose_fours(WordVec (&rows)[4]) {
  const Words d;
  const hn::Repartition<uint64_t, Words> pairs;
  const auto ab_01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[0], rows[1]));
  const auto ab_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[0], rows[1]));
  const auto ce_01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[2], rows[3]));
  const auto ce_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[2], rows[3]));
  rows[0] = hn::BitCast(d, hn::InterleaveLower(pairs, ab_01, ce_01));
  rows[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, ab_01, ce_01));
  rows[2] = hn::BitCast(d, hn::InterleaveLower(pairs, ab_23, ce_23));
  rows[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, ab_23, ce_23));
}

/// rows[i][j] = what was rows[j][i]. Whole rows are loaded before, so that no cache line is read in
/// parts, between which rows that are a power of two apart displace it.
HWY_INLINE void transpose_words(WordVec (&rows)[kNumWords]) {
  WordVec fours[4][4];  // of rows 4 i to 4 i + 3
  inlined<4>([&]<int i>() PREPACK_INLINED {
    inlined<4>([&]<int j>() PREPACK_INLINED { fours[i][j] = rows[4 * i + j]; });
    transpose_fours(fours[i]);
  });
  // And so are the blocks of a column of these.
  constexpr int kEven = 0x88;
  constexpr int kOdd = 0xDD;
  inlined<4>([&]<int c>() PREPACK_INLINED {
    const auto ab_even = _mm512_shuffle_i32x4(fours[0][c].raw, fours[1][c].raw, kEven);
    const auto ab_odd = _mm512_shuffle_i32x4(fours[0][c].raw, fours[1][c].raw, kOdd);
    const auto ce_even = _mm512_shuffle_i32x4(fours[2][c].raw, fours[3][c].raw, kEven);
    const auto ce_odd = _mm512_shuffle_i32x4(fours[2][c].raw, fours[3][c].raw, kOdd);
    rows[c] = WordVec{_mm512_shuffle_i32x4(ab_even, ce_even, kEven)};
    rows[4 + c] = WordVec{_mm512_shuffle_i32x4(ab_odd, ce_odd, kEven)};
    rows[8 + c] = WordVec{_mm512_shuffle_i32x4(ab_even, ce_even, kOdd)};
    rows[12 + c] = WordVec{_mm512_shuffle_i32x4(ab_odd, ce_odd, kOdd)};
  });
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
