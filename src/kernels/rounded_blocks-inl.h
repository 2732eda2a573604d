// Blocks of weights of 4 and 8 bits and what they are multiplied with, rows rounded to 8 bits, in
// vectors of 512 bits. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_BLOCKS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_BLOCKS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_BLOCKS_INL_H_
#endif

#include <algorithm>

#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_rows.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/transpose_words-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// A vector of weights has in each four lanes 16 bytes that follow each other, which are of one
// unit. In blocks of four vectors they are turned, as 4 x 4 matrices: then a lane has bytes of the
// same unit in all four, and the sums of their products are scaled once. Vectors that are left over
// at the end of a row are blocks of their own, as they are.

constexpr int kBlockVectors = 4;
constexpr int64_t kVectorBytes = 64;
constexpr int64_t kBlockLanes = 16;

/// Numbers of x that share a scale, and that groups of weights have at least.
constexpr int64_t kUnitNumbers = RoundedRows<int8_t>::kGroup;

using RoundedVec = hn::Vec<RoundedLanes>;
using ByteLanes = hn::Repartition<int8_t, RoundedLanes>;
using ByteVec = hn::Vec<ByteLanes>;
static_assert(kRoundedLanes == kBlockLanes);

/// 64 bytes of a row from `place` on, or those that there are and zeros.
template <typename T>
HWY_INLINE WordVec load_bytes(const T* row, int64_t place, int64_t num_bytes) {
  const hn::Repartition<uint8_t, Words> d;
  const auto count = static_cast<size_t>(std::clamp<int64_t>(num_bytes - place, 0, kVectorBytes));
  const auto* from = reinterpret_cast<const uint8_t*>(row) + place;
  return hn::BitCast(Words(), hn::MaskedLoad(hn::FirstN(d, count), d, from));
}

HWY_INLINE void store_bytes(WordVec words, int8_t* to) {
  hn::StoreU(hn::BitCast(ByteLanes(), words), ByteLanes(), to);
}

/// The 16 bytes of a block that each lane has a part of.
/// @tparam kVectors  of the block
template <int kVectors>
HWY_INLINE auto sixteen_of_lane() {
  const hn::Rebind<int32_t, RoundedLanes> d;
  const auto lanes = hn::Iota(d, 0);
  const auto fours = hn::ShiftRight<2>(lanes);
  if constexpr (kVectors == 1) return fours;
  return hn::Add(fours, hn::ShiftLeft<2>(hn::And(lanes, hn::Set(d, 3))));
}

template <int kVectors>
HWY_INLINE void turn(WordVec (&words)[kVectors]) {
  if constexpr (kVectors == kBlockVectors) transpose_fours(words);
}

/// Values of 4 bits; 16 bytes hold a unit.
struct Int4Blocks {
  using Value = uint8_t;
  static constexpr int64_t kNumbers = 2 * kVectorBytes;  // of a vector
  static constexpr int kVectorParts = 2;                 // of x, for each vector of weights
  static constexpr int kUnitSixteens = 1;
  static constexpr bool kIsBiased = false;
  static_assert(kUnitNumbers == kMinInt4Group);

  static int64_t row_bytes(int64_t in_features) { return int4_row_bytes(in_features); }

  using Sums = IntegerSums<RoundedLanes, int8_t>;
  static_assert(kVectorParts * kBlockVectors <= kMaxInt8Additions);

  /// What the parts of x are multiplied with.
  template <int kPart>
  static HWY_INLINE ByteVec unpack(WordVec words) {
    const hn::Repartition<uint16_t, RoundedLanes> shorts;
    auto bits = hn::BitCast(shorts, words);
    if constexpr (kPart == 1) bits = hn::ShiftRight<4>(bits);
    return hn::BitCast(ByteLanes(), hn::And(bits, hn::Set(shorts, 0x0F0F)));
  }

  static HWY_INLINE void start(const int32_t* /*correction*/, Sums& sums) { sums.clear(); }

  /// A block of x.
  /// @param count  numbers that there are; the others are 0
  /// @param to     [vectors, kVectorParts, 64]
  template <int kVectors>
  static HWY_INLINE void order_x(const int8_t* from, int64_t count, int8_t* to,
                                 int32_t* /*corrections*/) {
    constexpr int kFirst = 0x88;
    constexpr int kSecond = 0xDD;
    WordVec parts[kVectorParts][kVectors];
    inlined<kVectors>([&]<int i>() PREPACK_INLINED {
      constexpr int64_t kPlace = 2 * i * kVectorBytes;
      const auto a = load_bytes(from, kPlace, count);
      const auto b = load_bytes(from, kPlace + kVectorBytes, count);
      // The first 16 numbers of four units, and the second ones.
      const WordVec first{_mm512_shuffle_i32x4(a.raw, b.raw, kFirst)};
      const WordVec second{_mm512_shuffle_i32x4(a.raw, b.raw, kSecond)};
      const ByteLanes d;
      const auto first_bytes = hn::BitCast(d, first);
      const auto second_bytes = hn::BitCast(d, second);
      parts[0][i] = hn::BitCast(Words(), hn::InterleaveLower(d, first_bytes, second_bytes));
      parts[1][i] = hn::BitCast(Words(), hn::InterleaveUpper(d, first_bytes, second_bytes));
    });
    inlined<kVectorParts>([&]<int p>() PREPACK_INLINED {
      turn(parts[p]);
      inlined<kVectors>([&]<int i>() PREPACK_INLINED {
        store_bytes(parts[p][i], to + (i * kVectorParts + p) * kVectorBytes);
      });
    });
  }
};

#if PREPACK_HAS_VNNI

/// Values of 8 bits; twice 16 bytes hold a unit. Biased, see ByteSums: sums begin with the
/// corrections of x.
struct Int8Blocks {
  using Value = int8_t;
  static constexpr int64_t kNumbers = kVectorBytes;
  static constexpr int kVectorParts = 1;
  static constexpr int kUnitSixteens = 2;
  static constexpr bool kIsBiased = true;

  static int64_t row_bytes(int64_t in_features) { return in_features; }

  using Sums = IntegerSums<RoundedLanes, int8_t>;

  template <int kPart>
  static HWY_INLINE ByteVec unpack(WordVec words) {
    return hn::BitCast(ByteLanes(), hn::Xor(words, hn::Set(Words(), 0x80808080)));
  }

  static HWY_INLINE void start(const int32_t* correction, Sums& sums) {
    sums.sums = reinterpret_cast<Sums::Lanes>(_mm512_loadu_si512(correction));
  }

  template <int kVectors>
  static HWY_INLINE void order_x(const int8_t* from, int64_t count, int8_t* to,
                                 int32_t* corrections) {
    WordVec words[kVectors];
    inlined<kVectors>(
        [&]<int i>() PREPACK_INLINED { words[i] = load_bytes(from, i * kVectorBytes, count); });
    turn(words);
    Sums of_bias;
    of_bias.clear();
    inlined<kVectors>([&]<int i>() PREPACK_INLINED {
      store_bytes(words[i], to + i * kVectorBytes);
      of_bias.add_products(hn::Set(ByteLanes(), int8_t{-128}), hn::BitCast(ByteLanes(), words[i]));
    });
    _mm512_storeu_si512(corrections, reinterpret_cast<__m512i>(-of_bias.sums));
  }
};

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
