// Blocks of quantized weights, as they are multiplied with a few rounded rows: loaded once, for one
// row after the other. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_WEIGHTS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_WEIGHTS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_WEIGHTS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_rows.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// The most lanes of any format. Never more than a block of 4-bit values has words.
using RoundedLanes = hn::CappedTag<float, 16>;
constexpr int64_t kRoundedLanes = hn::MaxLanes(RoundedLanes());

constexpr int64_t kRoundedBlock = RoundedRows<int16_t>::kBlock;
static_assert(kRoundedBlock == RoundedRows<int8_t>::kBlock && kRoundedBlock == kInt4Block);
constexpr int kRoundedBlockWords = kInt4Block / 4;

/// Weights of 8 bits, with x of 16.
/// @tparam kUnitSize  numbers that share a scale; 0: a feature's all do, and it is applied later
template <typename T, int kUnitSize>
struct Int8Weights {
  using X = T;
  static_assert(sizeof(X) == 2);
  static constexpr int64_t kUnit = kUnitSize;
  static constexpr int64_t kUnits = kUnit == 0 ? 0 : kRoundedBlock / kUnit;  // of a block
  static constexpr int64_t kBytes = kRoundedBlock;
  static constexpr int64_t kXScales = 1;  // for a block of a row

  // Never more than numbers that share a scale fill.
  using Lanes = hn::CappedTag<float, kUnit == 16 ? 8 : 16>;
  using Vec = hn::Vec<Lanes>;

  static constexpr int kOfVector = kNumbers<Lanes, X>;
  static constexpr int kVectors = kRoundedBlock / kOfVector;

  /// A block of a feature, as it is multiplied with rows.
  struct Block {
    IntegersOf<Lanes, X> values[kVectors];
    const float* scales;
  };

  /// @param scales  [kUnits]
  static HWY_INLINE void load(const int8_t* values, const float* scales, Block& block) {
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      block.values[v] = load_integers<X>(Lanes(), values + v * kOfVector);
    });
    block.scales = scales;
  }

  /// sum + the products with a block of a row, in lanes.
  static HWY_INLINE Vec add_products(const Block& block, const X* x, const float* x_scales,
                                     Vec sum) {
    constexpr int kUnitVectors = kUnit == 0 ? kVectors : kUnit / kOfVector;
    const Lanes d;
    Vec product;
    unrolled<kVectors / kUnitVectors>([&]<int u>() HWY_ATTR {
      IntegerSums<Lanes, X> sums;
      sums.clear();
      unrolled<kUnitVectors>([&]<int i>() HWY_ATTR {
        constexpr int v = u * kUnitVectors + i;
        sums.add_products(block.values[v], load_integers<X>(d, x + v * kOfVector));
      });
      if constexpr (kUnit == 0) {
        product = sums.total();
      } else if constexpr (u == 0) {
        product = hn::Mul(sums.total(), hn::Set(d, block.scales[0]));
      } else {
        product = hn::MulAdd(sums.total(), hn::Set(d, block.scales[u]), product);
      }
    });
    return hn::MulAdd(product, hn::Set(d, x_scales[0]), sum);
  }

  /// A block of a row, in the order that its products are computed in.
  static void order_x(const X* values, const float* scales, X* to, float* to_scales) {
    std::copy_n(values, kRoundedBlock, to);
    *to_scales = *scales;
  }
};

/// With x of 8 bits, where sums are not biased. Lanes hold sums of products of numbers of the same
/// 32.
template <int kUnitSize>
struct Int8Weights<int8_t, kUnitSize> {
  using X = int8_t;
  static constexpr int64_t kUnit = kUnitSize;
  static constexpr int64_t kUnits = kUnit == 0 ? 0 : kRoundedBlock / kUnit;  // of a block
  static constexpr int64_t kBytes = kRoundedBlock;

  using Lanes = RoundedLanes;
  using Vec = hn::Vec<Lanes>;

  static constexpr int kOfVector = kNumbers<Lanes, X>;
  static constexpr int kVectors = kRoundedBlock / kOfVector;
  static constexpr int64_t kXScales = kVectors * kRoundedLanes;

  struct Block {
    IntegersOf<Lanes, X> values[kVectors];
    Vec scales[kVectors];
  };

  static HWY_INLINE void load(const int8_t* values, const float* scales, Block& block) {
    const Lanes d;
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      block.values[v] = load_integers<X>(d, values + v * kOfVector);
      if constexpr (kUnits == 1) block.scales[v] = hn::Set(d, scales[0]);
      if constexpr (kUnits == 2) block.scales[v] = unit_scales(scales, v);
    });
  }

  static HWY_INLINE Vec add_products(const Block& block, const X* x, const float* x_scales,
                                     Vec sum) {
    const Lanes d;
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      ByteSums<Lanes> sums;
      sums.clear();
      sums.add_products(block.values[v], load_integers<X>(d, x + v * kOfVector));
      auto scale = hn::LoadU(d, x_scales + v * kRoundedLanes);
      if constexpr (kUnit != 0) scale = hn::Mul(scale, block.scales[v]);
      sum = hn::MulAdd(sums.total(), scale, sum);
    });
    return sum;
  }

  static void order_x(const X* values, const float* scales, X* to, float* to_scales) {
    std::copy_n(values, kRoundedBlock, to);
    for (int64_t i = 0; i < kXScales; ++i) {
      to_scales[i] = scales[i * kTogether<X> / RoundedRows<X>::kGroup];
    }
  }

 private:
  /// Each in the lanes of its numbers.
  static HWY_INLINE Vec unit_scales(const float* scales, int vector) {
    const Lanes d;
    if constexpr (kOfVector <= kUnit || kUnit == 0) {
      return hn::Set(d, scales[vector * kOfVector / std::max<int64_t>(kUnit, 1)]);
    } else {
      return hn::IfThenElse(hn::FirstN(d, kUnit / kTogether<X>), hn::Set(d, scales[0]),
                            hn::Set(d, scales[1]));
    }
  }
};

/// Two numbers, each in every other block of four lanes.
template <typename D>
HWY_INLINE hn::Vec<D> spread_two(D d, const float* numbers) {
  const hn::Repartition<uint8_t, D> bytes;
  const hn::Rebind<uint32_t, D> words;
  double pair;
  std::memcpy(&pair, numbers, sizeof(pair));
  const auto pairs = hn::BitCast(bytes, hn::Set(hn::Repartition<double, D>(), pair));
  const auto first = hn::Set(words, 0x03020100);
  const auto second = hn::Set(words, 0x07060504);
  const auto is_first = hn::Eq(hn::And(hn::Iota(words, 0), hn::Set(words, 4)), hn::Zero(words));
  const auto lookup = hn::IfThenElse(is_first, first, second);
  return hn::BitCast(d, hn::TableLookupBytes(pairs, hn::BitCast(bytes, lookup)));
}

/// Weights of 4 bits. Lanes hold sums of products of numbers of the same 32.
template <typename T, int kUnitSize>
struct Int4Weights {
  using X = T;
  static constexpr int64_t kUnit = kUnitSize;
  static constexpr int64_t kUnits = kRoundedBlock / kUnit;
  static constexpr int64_t kBytes = kRoundedBlock / 2;

  using Lanes = RoundedLanes;
  using Vec = hn::Vec<Lanes>;

  static constexpr int kTimes = kTimesOfWords<Lanes>;
  static constexpr int kWords = 2 * static_cast<int>(kRoundedLanes) / kTimes;  // of a vector
  static constexpr int kVectors = kRoundedBlockWords / kWords;
  static constexpr int kParts = kUnpacked<X> / kTimes;  // of the values of these words
  static constexpr int kOfVector = kNumbers<Lanes, X>;
  static constexpr int64_t kXScales = sizeof(X) == 2 ? 1 : kVectors * kRoundedLanes;
  static_assert(holds_additions<X>(kParts));

  struct Block {
    IntegersOf<Lanes, X> values[kVectors][kParts];
    Vec scales[kVectors];
  };

  static HWY_INLINE void load(const int8_t* values, const float* scales, Block& block) {
    const Lanes d;
    const auto* words = reinterpret_cast<const uint16_t*>(values);
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      const auto packed = load_words(d, words + v * kWords);
      unrolled<kParts>([&]<int i>()
                           HWY_ATTR { block.values[v][i] = unpack_words<X, i>(d, packed); });
      if constexpr (kUnits == 1) {
        block.scales[v] = hn::Set(d, scales[0]);
      } else if constexpr (kWords > kInt4Words) {
        block.scales[v] = spread_two(d, scales);
      } else {
        block.scales[v] = hn::Set(d, scales[v * kWords / kInt4Words]);
      }
    });
  }

  static HWY_INLINE Vec add_products(const Block& block, const X* x, const float* x_scales,
                                     Vec sum) {
    const Lanes d;
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      IntegerSums<Lanes, X> sums;
      sums.clear();
      unrolled<kParts>([&]<int i>() HWY_ATTR {
        constexpr int kPlace = (v * kParts + i) * kOfVector;
        sums.add_products(block.values[v][i], load_integers<X>(d, x + kPlace));
      });
      const auto x_scale =
          kXScales == 1 ? hn::Set(d, x_scales[0]) : hn::LoadU(d, x_scales + v * kRoundedLanes);
      sum = hn::MulAdd(hn::Mul(sums.total(), x_scale), block.scales[v], sum);
    });
    return sum;
  }

  static void order_x(const X* values, const float* scales, X* to, float* to_scales) {
    for (int v = 0; v < kVectors; ++v) {
      for (int i = 0; i < kUnpacked<X>; ++i) {
        constexpr int kOfWords = kOfVector / kTimes;
        for (int j = 0; j < kOfWords; ++j) {
          const int word = v * kWords + j * kWords / kOfWords;
          *to++ = values[word / kInt4Words * kMinInt4Group +
                         place_of_unpacked<X>(i, j) * kInt4Words + word % kInt4Words];
        }
      }
    }
    constexpr int64_t kScales = kRoundedBlock / RoundedRows<X>::kGroup;
    constexpr int64_t kLanesOfWords = std::max<int64_t>(kXScales / kTimes, 1);
    for (int64_t i = 0; i < kXScales; ++i) {
      to_scales[i] = scales[i % kLanesOfWords * kScales / kLanesOfWords];
    }
  }
};

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
