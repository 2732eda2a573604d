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

/// rows[i][j] = what was rows[j][i]. Whole rows are loaded before, so that no cache line is read in
/// parts, between which rows that are a power of two apart displace it.
HWY_INLINE void transpose_words(WordVec (&rows)[kNumWords]) {
  const Words d;
  const hn::Repartition<uint64_t, Words> pairs;
  // Each block of four lanes is a 4 x 4 matrix of its own, of rows 4 i to 4 i + 3.
  WordVec fours[kNumWords];
  inlined<4>([&]<int i>() PREPACK_INLINED {
    constexpr int r = 4 * i;
    const auto ab_01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[r], rows[r + 1]));
    const auto ab_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[r], rows[r + 1]));
    const auto ce_01 = hn::BitCast(pairs, hn::InterleaveLower(d, rows[r + 2], rows[r + 3]));
    const auto ce_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, rows[r + 2], rows[r + 3]));
    fours[r] = hn::BitCast(d, hn::InterleaveLower(pairs, ab_01, ce_01));
    fours[r + 1] = hn::BitCast(d, hn::InterleaveUpper(pairs, ab_01, ce_01));
    fours[r + 2] = hn::BitCast(d, hn::InterleaveLower(pairs, ab_23, ce_23));
    fours[r + 3] = hn::BitCast(d, hn::InterleaveUpper(pairs, ab_23, ce_23));
  });
  // And so are the blocks of a column of these.
  constexpr int kEven = 0x88;
  constexpr int kOdd = 0xDD;
  inlined<4>([&]<int c>() PREPACK_INLINED {
    const auto ab_even = _mm512_shuffle_i32x4(fours[c].raw, fours[4 + c].raw, kEven);
    const auto ab_odd = _mm512_shuffle_i32x4(fours[c].raw, fours[4 + c].raw, kOdd);
    const auto ce_even = _mm512_shuffle_i32x4(fours[8 + c].raw, fours[12 + c].raw, kEven);
    const auto ce_odd = _mm512_shuffle_i32x4(fours[8 + c].raw, fours[12 + c].raw, kOdd);
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
