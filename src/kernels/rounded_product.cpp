#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_product.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cstring>
#include <limits>
#include <variant>

#include "kernels/groups-inl.h"
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

struct RoundedGroup {
  float scale;
  float sum;
};

/// @param group  kGroup numbers
RoundedGroup round_group(const float* group, int16_t* values) {
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
  auto sum = hn::Zero(d);
  for (int64_t i = 0; i < kGroup; i += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), inverse));
    sum = hn::Add(sum, hn::ConvertTo(d, rounded));
    hn::StoreU(hn::DemoteTo(shorts, rounded), shorts, values + i);
  }
  const float step = (is_zero ? 0 : scale) + hn::GetLane(hn::SumOfLanes(d, not_finite));
  return {step, step * hn::GetLane(hn::SumOfLanes(d, sum))};
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
      const auto rounded = round_group(group_of(x, in_features, k, padded), values);
      const auto scale = hn::Set(d, rounded.scale);
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
        const auto rounded = round_group(group, values);
        to.scales[place * kTileRows + i] = rounded.scale;
        to.sums[place * kTileRows + i] = rounded.sum;
        store_pairs(values, kTileRows, to.values + place * kGroup * kTileRows + 2 * i);
      }
    }
  }
}

/// A vector or more of features side by side, for all of k.
struct Panel {
  int16_t* values;  // [num_groups, kPairs, width, 2]
  float* scales;    // [num_groups, width]
  float* minimums;  // likewise; null for none
};

HWY_INLINE int64_t panel_width() { return kVectors * num_lanes(); }

const GroupScales* group_scales(const WeightRows& weight) {
  if (const auto* int8 = std::get_if<Int8GroupRows>(&weight)) return &int8->groups;
  if (const auto* int4 = std::get_if<Int4Rows>(&weight)) return &int4->groups;
  return nullptr;  // one for each row
}

bool has_minimums(const WeightRows& weight) {
  const auto* groups = group_scales(weight);
  return groups != nullptr && groups->minimums != nullptr;
}

/// Values of 8 bits, kGroup of them.
HWY_INLINE void widen_values(const int8_t* from, int16_t* to) {
  const hn::Rebind<int16_t, Floats> shorts;
  const hn::Rebind<int8_t, Floats> bytes;
  for (int64_t k = 0; k < kGroup; k += num_lanes()) {
    hn::StoreU(hn::PromoteTo(shorts, hn::LoadU(bytes, from + k)), shorts, to + k);
  }
}

/// The values of one row of a weight to one place of a panel.
void widen_row(const WeightRows& weight, int64_t in_features, int64_t row, int16_t* to) {
  const int64_t width = panel_width();
  int16_t values[kInt4Block];
  const auto widen_int8 = [&](const int8_t* from) HWY_ATTR {
    for (int64_t k = 0; k < in_features; k += kGroup, to += kGroup * width) {
      int8_t padded[kGroup];
      widen_values(group_of(from, in_features, k, padded), values);
      store_pairs(values, width, to);
    }
  };
  if (const auto* int8 = std::get_if<Int8Rows>(&weight)) {
    widen_int8(int8->values + row * in_features);
  } else if (const auto* grouped = std::get_if<Int8GroupRows>(&weight)) {
    widen_int8(grouped->values + row * in_features);
  } else if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    const uint8_t* block = int4->values + row * int4_row_bytes(in_features);
    for (int64_t k = 0; k < in_features; k += kInt4Block, block += kInt4Block / 2) {
      uint32_t words[8];
      std::memcpy(words, block, sizeof(words));
      for (int64_t place = 0; place < 8; ++place) {
        for (int64_t word = 0; word < 8; ++word) {
          values[place * 8 + word] = static_cast<int16_t>(words[word] >> (4 * place) & 0xF);
        }
      }
      for (int64_t i = 0; i < kInt4Block && k + i < in_features;
           i += kGroup, to += kGroup * width) {
        store_pairs(values + i, width, to);
      }
    }
  }
}

/// One number for each of a row's groups, as often as they have groups of x, to one place of a
/// panel.
void spread_scales(const GroupScales& groups, const void* numbers, int64_t row, int64_t num_groups,
                   float* to) {
  const int64_t repeats = groups.group_size / kGroup;
  const int64_t row_groups = num_groups / repeats;
  constexpr int64_t kStretch = 64;
  float wide[kStretch];
  for (int64_t first = 0; first < row_groups; first += kStretch) {
    const int64_t count = std::min(kStretch, row_groups - first);
    widen_scales(groups.dtype, numbers, row * row_groups + first, count, wide);
    for (int64_t i = 0; i < count * repeats; ++i, to += panel_width()) *to = wide[i / repeats];
  }
}

/// @param count  features that are there, the last of which fills up the panel
void fill_panel(const WeightRows& weight, int64_t in_features, int64_t first, int64_t count,
                const Panel& panel) {
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(in_features);
  const auto* groups = group_scales(weight);
  for (int64_t i = 0; i < width; ++i) {
    const int64_t row = first + std::min(i, count - 1);
    widen_row(weight, in_features, row, panel.values + 2 * i);
    if (groups != nullptr) {
      spread_scales(*groups, groups->scales, row, num_groups, panel.scales + i);
    } else {
      const float scale = std::get<Int8Rows>(weight).scales[row];
      for (int64_t g = 0; g < num_groups; ++g) panel.scales[g * width + i] = scale;
    }
    if (panel.minimums != nullptr) {
      spread_scales(*groups, groups->minimums, row, num_groups, panel.minimums + i);
    }
  }
}

/// kRows rows of x, from the same group on as the panel.
struct TileOfRows {
  const int16_t* values;  // [num_groups, kPairs, kTileRows, 2]
  const float* scales;    // [num_groups, kTileRows]
  const float* sums;      // likewise
};

/// sums[row][feature] = sum over the groups of x * weight, both with their scales.
template <bool kHasMinimums>
void multiply_tile(TileOfRows x, Panel panel, int64_t num_groups, float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = num_lanes();
  for (int i = 0; i < kRows * kVectors; ++i) hn::Store(hn::Zero(d), d, sums + i * lanes);
  const int16_t* HWY_RESTRICT values = x.values;
  const int16_t* HWY_RESTRICT weight = panel.values;
  for (int64_t g = 0; g < num_groups; ++g) {
    PairSums group_sums[kRows][kVectors];
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) group_sums[row][v].clear();
    }
    HWY_UNROLL(4) for (int64_t pair = 0; pair < kPairs; ++pair, values += 2 * kTileRows) {
      Pairs factors[kVectors];
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v, weight += 2 * lanes) {
        factors[v] = load_pairs(weight);
      }
      HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
        const auto factor = repeat_pair(values + 2 * row);
        HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
          group_sums[row][v].add_products(factor, factors[v]);
        }
      }
    }
    FloatVec scales[kVectors];
    HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
      scales[v] = hn::Load(d, panel.scales + (g * kVectors + v) * lanes);
    }
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      const auto scale = hn::Set(d, x.scales[g * kTileRows + row]);
      const auto sum = hn::Set(d, kHasMinimums ? x.sums[g * kTileRows + row] : 0.0F);
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        float* total = sums + (row * kVectors + v) * lanes;
        auto result =
            hn::MulAdd(group_sums[row][v].total(), hn::Mul(scale, scales[v]), hn::Load(d, total));
        if (kHasMinimums) {
          const auto minimum = hn::Load(d, panel.minimums + (g * kVectors + v) * lanes);
          result = hn::MulAdd(sum, minimum, result);
        }
        hn::Store(result, d, total);
      }
    }
  }
}

/// Adds a tile's sums to the outputs, or overwrites those.
void store_tile(const RoundedProduct& product, const float* sums, int64_t row, int64_t num_rows,
                int64_t feature, int64_t num_features, bool is_first_block) {
  const auto plus = [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Add(a, b); };
  for (int64_t i = 0; i < num_rows; ++i, sums += panel_width()) {
    float* out = product.out + (row + i) * product.out_stride + feature;
    if (product.adds_to_out || !is_first_block) {
      transform(num_features, plus, out, out, sums);
    } else {
      std::copy_n(sums, num_features, out);
    }
    if (product.bias != nullptr && is_first_block) {
      transform(num_features, plus, out, out, product.bias + feature);
    }
  }
}

/// Features [first, first + count), whose weights are widened.
/// @param panels  one behind the other
void multiply_panels(const RoundedProduct& product, const Panel& panels, int64_t first,
                     int64_t count) {
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(product.in_features);
  const int64_t num_tiles = RoundedRows::num_tiles(product.num_rows);
  HWY_ALIGN float sums[kRows * kMaxFeatures];
  const auto multiply_rows = [&](int64_t tile, int64_t g, int64_t size, int64_t n,
                                 int64_t i) HWY_ATTR {
    const int64_t row = tile * kTileRows + i;
    if (row >= product.num_rows) return;
    const int64_t place = tile * num_groups + g;
    const TileOfRows x = {product.x.values + place * kGroup * kTileRows + 2 * i,
                          product.x.scales + place * kTileRows + i,
                          product.x.sums + place * kTileRows + i};
    const int64_t feature = n * num_groups + g * width;
    if (panels.minimums != nullptr) {
      multiply_tile<true>(
          x, {panels.values + feature * kGroup, panels.scales + feature, panels.minimums + feature},
          size, sums);
    } else {
      multiply_tile<false>(x, {panels.values + feature * kGroup, panels.scales + feature, nullptr},
                           size, sums);
    }
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
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(product.in_features);
  const int64_t feature_bytes = num_groups * kGroup * static_cast<int64_t>(sizeof(int16_t));
  const int64_t stretch = std::max(kWidenedBytes / feature_bytes / width, int64_t{1}) * width;
  const int64_t num_scales =
      std::min(stretch, (last - first + width - 1) / width * width) * num_groups;
  const int64_t num_values = num_scales * kGroup / 2;  // two take a float's place
  Scratch scratch(num_values + 2 * num_scales, 3);
  const Panel panels = {reinterpret_cast<int16_t*>(scratch.take(num_values)),
                        scratch.take(num_scales),
                        has_minimums(product.weight) ? scratch.take(num_scales) : nullptr};
  for (int64_t n = first; n < last; n += stretch) {
    const int64_t count = std::min(stretch, last - n);
    for (int64_t i = 0; i < count; i += width) {
      const int64_t place = i * num_groups;
      fill_panel(product.weight, product.in_features, n + i, count - i,
                 {panels.values + place * kGroup, panels.scales + place,
                  panels.minimums == nullptr ? nullptr : panels.minimums + place});
    }
    multiply_panels(product, panels, n, count);
  }
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

bool multiplies_rounded(const WeightRows& weight) {
  if (std::holds_alternative<PlainRows>(weight)) return false;
  const auto* int8 = std::get_if<Int8GroupRows>(&weight);
  return int8 == nullptr || int8->groups.group_size >= RoundedRows::kGroup;
}

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
