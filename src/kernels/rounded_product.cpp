#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_product.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

using Ints = hn::Rebind<int32_t, Floats>;

constexpr int64_t kTileRows = RoundedRows::kTileRows;
constexpr int64_t kGroup = RoundedRows::kGroup;
constexpr int64_t kPairs = kGroup / 2;  // of neighbours along k, which are multiplied together

// A tile's sums stay in registers, of two vectors of features for each row. Of the 16 registers of
// AVX2 six rows would leave room for the operands one by one, but GCC 12 keeps more of them.
constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : 4;
constexpr int kVectors = 2;
constexpr int64_t kMaxFeatures = kVectors * hn::MaxLanes(Floats());

// A tile of rows is multiplied with a panel of features that stays in the first cache (16 KB of
// 256-bit vectors), for rows that stay in the second (100 KB), of weights that are widened once for
// all rows (1 MB).
constexpr int64_t kBlockGroups = 16;
constexpr int64_t kBlockTiles = 8;
constexpr int64_t kWidenedBytes = int64_t{1} << 20;

// Pairs of int16 in the lanes of a float's size, and sums of the products of both halves.
#if HWY_TARGET == HWY_SCALAR

struct Pairs {
  int32_t first;
  int32_t second;
};

HWY_INLINE Pairs load_pairs(const int16_t* from) { return {from[0], from[1]}; }
HWY_INLINE Pairs repeat_pair(const int16_t* from) { return {from[0], from[1]}; }

struct PairSums {
  int32_t sum;

  HWY_INLINE void clear() { sum = 0; }
  HWY_INLINE void add_products(Pairs a, Pairs b) { sum += a.first * b.first + a.second * b.second; }
  HWY_INLINE FloatVec total() const { return hn::Set(Floats(), static_cast<float>(sum)); }
};

#else

using Shorts = hn::Repartition<int16_t, Floats>;
using Pairs = hn::Vec<Shorts>;

HWY_INLINE Pairs load_pairs(const int16_t* from) { return hn::Load(Shorts(), from); }
HWY_INLINE Pairs repeat_pair(const int16_t* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof(pair));
  return hn::BitCast(Shorts(), hn::Set(Ints(), pair));
}

struct PairSums {
  hn::Vec<Ints> even;
  hn::Vec<Ints> odd;  // stays zero where instructions add neighbours

  HWY_INLINE void clear() { even = odd = hn::Zero(Ints()); }
  HWY_INLINE void add_products(Pairs a, Pairs b) {
    even = hn::ReorderWidenMulAccumulate(Ints(), a, b, even, odd);
  }
  HWY_INLINE FloatVec total() const {
    return hn::ConvertTo(Floats(), hn::RearrangeToOddPlusEven(even, odd));
  }
};

#endif

/// A group of one row, pair by pair, to every stride-th of the places.
HWY_INLINE void store_pairs(const int16_t* group, int64_t stride, int16_t* to) {
  for (int64_t pair = 0; pair < kPairs; ++pair) {
    std::memcpy(to + pair * 2 * stride, group + 2 * pair, 2 * sizeof(int16_t));
  }
}

/// @param group  kGroup numbers
/// @return the scale
float round_group(const float* group, int16_t* values) {
  const Floats d;
  const hn::Rebind<int16_t, Floats> shorts;
  const int64_t lanes = num_lanes();
  auto largest = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // or else NaN
  for (int64_t i = 0; i < kGroup; i += lanes) {
    const auto x = hn::LoadU(d, group + i);
    largest = hn::Max(largest, hn::Abs(x));
    not_finite = hn::Add(not_finite, hn::Sub(x, x));
  }
  const float scale = hn::GetLane(hn::MaxOfLanes(d, largest)) / 127;
  // Smaller ones have inverses that are not finite.
  const bool is_zero = !(scale >= std::numeric_limits<float>::min());
  const auto inverse = hn::Set(d, is_zero ? 0.0F : 1 / scale);
  for (int64_t i = 0; i < kGroup; i += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), inverse));
    hn::StoreU(hn::DemoteTo(shorts, rounded), shorts, values + i);
  }
  return (is_zero ? 0 : scale) + hn::GetLane(hn::SumOfLanes(d, not_finite));
}

/// A row's group from k on, filled up with zeros in `padded` where the row ends before it does.
template <typename T>
HWY_INLINE const T* group_of(const T* row, int64_t in_features, int64_t k, T (&padded)[kGroup]) {
  const int64_t size = in_features - k;
  if (size >= kGroup) return row + k;
  std::fill_n(std::copy_n(row + k, size, padded), kGroup - size, T{0});
  return padded;
}

void round_and_widen(const float* x, int64_t num_rows, int64_t in_features, float* to) {
  const Floats d;
  const hn::Rebind<int16_t, Floats> shorts;
  for (int64_t row = 0; row < num_rows; ++row, x += in_features, to += in_features) {
    for (int64_t k = 0; k < in_features; k += kGroup) {
      float padded[kGroup];
      int16_t values[kGroup];
      const auto scale = hn::Set(d, round_group(group_of(x, in_features, k, padded), values));
      for (int64_t i = 0; i < kGroup; i += num_lanes()) {
        const auto value = hn::PromoteTo(Ints(), hn::LoadU(shorts, values + i));
        hn::StoreU(hn::Mul(hn::ConvertTo(d, value), scale), d, padded + i);
      }
      std::copy_n(padded, std::min(kGroup, in_features - k), to + k);
    }
  }
}

void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to) {
  const int64_t num_groups = RoundedRows::num_groups(in_features);
  for (int64_t tile = first; tile < last; ++tile) {
    for (int64_t i = 0; i < kTileRows; ++i) {
      const int64_t row = tile * kTileRows + i;
      for (int64_t g = 0; g < num_groups; ++g) {
        float padded[kGroup] = {};
        const float* group = row < num_rows
                                 ? group_of(x + row * in_features, in_features, g * kGroup, padded)
                                 : padded;
        const int64_t place = tile * num_groups + g;
        int16_t values[kGroup];
        to.scales[place * kTileRows + i] = round_group(group, values);
        store_pairs(values, kTileRows, to.values + place * kGroup * kTileRows + 2 * i);
      }
    }
  }
}

/// A panel of features for some groups of k: [groups, kPairs, 2 vectors of features, 2].
void widen_panel(const Int8Rows& weight, int64_t in_features, int64_t first, int64_t count,
                 int16_t* to) {
  const hn::Rebind<int16_t, Floats> shorts;
  const hn::Rebind<int8_t, Floats> bytes;
  const int64_t width = kVectors * num_lanes();
  const int64_t num_groups = RoundedRows::num_groups(in_features);
  for (int64_t i = 0; i < width; ++i) {
    const int8_t* row = weight.values + (first + std::min(i, count - 1)) * in_features;
    for (int64_t g = 0; g < num_groups; ++g) {
      int8_t padded[kGroup];
      const int8_t* group = group_of(row, in_features, g * kGroup, padded);
      int16_t values[kGroup];
      for (int64_t k = 0; k < kGroup; k += num_lanes()) {
        hn::StoreU(hn::PromoteTo(shorts, hn::LoadU(bytes, group + k)), shorts, values + k);
      }
      store_pairs(values, width, to + g * kGroup * width + 2 * i);
    }
  }
}

/// sums[row][feature] = sum over the groups of scale * (sum over k of x * weight).
/// @param x       [num_groups, kPairs, kTileRows, 2], from the first of kRows rows on
/// @param scales  [num_groups, kTileRows], likewise
/// @param weight  [num_groups, kPairs, width, 2]
void multiply_tile(const int16_t* HWY_RESTRICT x, const float* HWY_RESTRICT scales,
                   const int16_t* HWY_RESTRICT weight, int64_t num_groups,
                   float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = num_lanes();
  for (int i = 0; i < kRows * kVectors; ++i) hn::Store(hn::Zero(d), d, sums + i * lanes);
  for (int64_t g = 0; g < num_groups; ++g, scales += kTileRows) {
    PairSums group_sums[kRows][kVectors];
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) group_sums[row][v].clear();
    }
    HWY_UNROLL(4) for (int64_t pair = 0; pair < kPairs; ++pair, x += 2 * kTileRows) {
      Pairs factors[kVectors];
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v, weight += 2 * lanes) {
        factors[v] = load_pairs(weight);
      }
      HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
        const auto factor = repeat_pair(x + 2 * row);
        HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
          group_sums[row][v].add_products(factor, factors[v]);
        }
      }
    }
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      const auto scale = hn::Set(d, scales[row]);
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        float* total = sums + (row * kVectors + v) * lanes;
        hn::Store(hn::MulAdd(group_sums[row][v].total(), scale, hn::Load(d, total)), d, total);
      }
    }
  }
}

/// Adds a tile's sums to the outputs, or overwrites those.
void store_tile(const RoundedProduct& product, const float* sums, int64_t row, int64_t num_rows,
                int64_t feature, int64_t num_features, bool is_first_block) {
  const bool has_bias = product.bias != nullptr && is_first_block;
  const bool adds = product.adds_to_out || !is_first_block;
  const auto scaled = [](FloatVec sum, FloatVec scale) HWY_ATTR { return hn::Mul(sum, scale); };
  const auto scaled_onto = [](FloatVec sum, FloatVec scale, FloatVec to)
                               HWY_ATTR { return hn::MulAdd(sum, scale, to); };
  const float* scales = product.weight.scales + feature;
  for (int64_t i = 0; i < num_rows; ++i, sums += kVectors * num_lanes()) {
    float* out = product.out + (row + i) * product.out_stride + feature;
    if (adds) {
      transform(num_features, scaled_onto, out, sums, scales, out);
    } else if (has_bias) {
      transform(num_features, scaled_onto, out, sums, scales, product.bias + feature);
    } else {
      transform(num_features, scaled, out, sums, scales);
    }
    if (adds && has_bias) {
      const auto plus = [](FloatVec sum, FloatVec bias) HWY_ATTR { return hn::Add(sum, bias); };
      transform(num_features, plus, out, out, product.bias + feature);
    }
  }
}

/// Features [first, first + count), whose weights are widened.
/// @param panels  [count / width, num_groups, kPairs, width, 2]
void multiply_panels(const RoundedProduct& product, const int16_t* panels, int64_t first,
                     int64_t count) {
  const int64_t width = kVectors * num_lanes();
  const int64_t num_groups = RoundedRows::num_groups(product.in_features);
  const int64_t num_tiles = RoundedRows::num_tiles(product.num_rows);
  HWY_ALIGN float sums[kRows * kMaxFeatures];
  const auto multiply_rows = [&](int64_t tile, int64_t g, int64_t size, int64_t n,
                                 int64_t i) HWY_ATTR {
    const int64_t row = tile * kTileRows + i;
    if (row >= product.num_rows) return;
    const int64_t place = tile * num_groups + g;
    multiply_tile(product.x.values + place * kGroup * kTileRows + 2 * i,
                  product.x.scales + place * kTileRows + i,
                  panels + (n * num_groups + g * width) * kGroup, size, sums);
    store_tile(product, sums, row, std::min<int64_t>(kRows, product.num_rows - row), first + n,
               std::min(width, count - n), g == 0);
  };
  for (int64_t tiles = 0; tiles < num_tiles; tiles += kBlockTiles) {
    const int64_t last_tile = std::min(tiles + kBlockTiles, num_tiles);
    for (int64_t g = 0; g < num_groups; g += kBlockGroups) {
      const int64_t size = std::min(kBlockGroups, num_groups - g);
      for (int64_t n = 0; n < count; n += width) {
        for (int64_t tile = tiles; tile < last_tile; ++tile) {
          for (int64_t i = 0; i < kTileRows; i += kRows) multiply_rows(tile, g, size, n, i);
        }
      }
    }
  }
}

void multiply_rounded(const RoundedProduct& product, int64_t first, int64_t last) {
  const int64_t width = kVectors * num_lanes();
  const int64_t padded = RoundedRows::num_groups(product.in_features) * kGroup;
  const int64_t feature_bytes = padded * static_cast<int64_t>(sizeof(int16_t));
  const int64_t stretch = std::max(kWidenedBytes / feature_bytes / width, int64_t{1}) * width;
  const int64_t num_widened = std::min(stretch, (last - first + width - 1) / width * width);
  // Two numbers take a float's place.
  Scratch scratch(num_widened * padded / 2, 1);
  auto* panels = reinterpret_cast<int16_t*>(scratch.take(num_widened * padded / 2));
  for (int64_t n = first; n < last; n += stretch) {
    const int64_t count = std::min(stretch, last - n);
    for (int64_t i = 0; i < count; i += width) {
      widen_panel(product.weight, product.in_features, n + i, count - i, panels + i * padded);
    }
    multiply_panels(product, panels, n, count);
  }
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(round_rows);
HWY_EXPORT(round_and_widen);
HWY_EXPORT(multiply_rounded);

void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to) {
  HWY_DYNAMIC_DISPATCH(round_rows)(x, num_rows, in_features, first, last, to);
}

void round_and_widen(const float* x, int64_t num_rows, int64_t in_features, float* to) {
  HWY_DYNAMIC_DISPATCH(round_and_widen)(x, num_rows, in_features, to);
}

void multiply_rounded(const RoundedProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_rounded)(product, first, last);
}

}  // namespace prepack
#endif
