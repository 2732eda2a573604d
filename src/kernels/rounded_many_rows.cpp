#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_many_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/pairs-inl.h"
#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kTileRows = kRoundedTileRows;
constexpr int64_t kGroup = RoundedRows::kGroup;

// A tile's sums stay in registers, of two vectors of features for each row. Of the 16 registers of
// AVX2 six rows would leave room for the operands one by one, but GCC 12 keeps more of them.
constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : 4;
constexpr int kVectors = 2;
constexpr int64_t kMaxFeatures = kVectors * hn::MaxLanes(Floats());

// A tile of rows is multiplied with a panel of features that stays in the first cache (16 KB of
// 256-bit vectors), for rows that stay in the second (100 KB), of weights that are widened once for
// all rows (1 MB).
constexpr int64_t kBlockGroups = 8;
constexpr int64_t kBlockTiles = 8;
constexpr int64_t kWidenedBytes = int64_t{1} << 20;

/// A vector or more of features side by side, for all of k. A unit is RoundedRows::sum_group
/// numbers.
struct Panel {
  int16_t* values;  // [num_groups, kGroup / 2, width, 2]
  float* scales;    // [num_units, width]
  float* minimums;  // likewise; null for none
};

HWY_INLINE int64_t panel_width() { return kVectors * num_lanes(); }

/// The values of one row of a weight to one place of a panel, and zeros behind its end.
void widen_row(const WeightRows& weight, int64_t in_features, int64_t row, int16_t* to) {
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(in_features);
  int16_t values[kGroup];
  if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    const auto* words =
        reinterpret_cast<const uint16_t*>(int4->values + row * int4_row_bytes(in_features));
    static_assert(kGroup == kInt4Block);
    for (int64_t g = 0; g < num_groups; ++g, words += kInt4Words, to += kGroup * width) {
      for (int64_t place = 0; place < 4; ++place) {
        for (int64_t i = 0; i < kInt4Words; ++i) {
          values[place * kInt4Words + i] = static_cast<int16_t>(words[i] >> (4 * place) & 0xF);
        }
      }
      store_pairs<kGroup>(values, width, to);
    }
    return;
  }
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  const auto* from = int8 != nullptr ? int8->values : std::get<Int8GroupRows>(weight).values;
  from += row * in_features;
  for (int64_t g = 0; g < num_groups; ++g, to += kGroup * width) {
    const int64_t size = std::clamp<int64_t>(in_features - g * kGroup, 0, kGroup);
    std::fill_n(std::copy_n(from + g * kGroup, size, values), kGroup - size, int16_t{0});
    store_pairs<kGroup>(values, width, to);
  }
}

/// One number for each of a row's units to one place of a panel, and zeros behind its end.
void spread_scales(const GroupScales& groups, const void* numbers, int64_t in_features, int64_t row,
                   int64_t unit, int64_t num_units, float* to) {
  const int64_t width = panel_width();
  const int64_t repeats = groups.group_size / unit;
  const int64_t row_groups = in_features / groups.group_size;
  constexpr int64_t kStretch = 64;
  float wide[kStretch];
  for (int64_t first = 0; first < row_groups; first += kStretch) {
    const int64_t count = std::min(kStretch, row_groups - first);
    widen_scales(groups.dtype, numbers, row * row_groups + first, count, wide);
    for (int64_t i = 0; i < count * repeats; ++i, to += width) *to = wide[i / repeats];
  }
  for (int64_t i = row_groups * repeats; i < num_units; ++i, to += width) *to = 0;
}

/// @param count  features that are there, the last of which fills up the panel
void fill_panel(const WeightRows& weight, int64_t in_features, int64_t unit, int64_t first,
                int64_t count, const Panel& panel) {
  const int64_t width = panel_width();
  const int64_t num_units = RoundedRows::num_groups(in_features) * (kGroup / unit);
  const auto* groups = group_scales(weight);
  for (int64_t i = 0; i < width; ++i) {
    const int64_t row = first + std::min(i, count - 1);
    widen_row(weight, in_features, row, panel.values + 2 * i);
    const auto spread = [&](const void* numbers, float* to) HWY_ATTR {
      spread_scales(*groups, numbers, in_features, row, unit, num_units, to + i);
    };
    if (groups != nullptr) {
      spread(groups->scales, panel.scales);
    } else {
      const float scale = std::get<Int8Rows>(weight).scales[row];
      for (int64_t u = 0; u < num_units; ++u) panel.scales[u * width + i] = scale;
    }
    if (panel.minimums != nullptr) spread(groups->minimums, panel.minimums);
  }
}

/// kRows rows of x, from the same group on as the panel.
struct TileOfRows {
  const int16_t* values;  // [num_groups, kGroup / 2, kTileRows, 2]
  const float* scales;    // [num_groups, kTileRows]
  const float* sums;      // [num_units, kTileRows]
};

/// sums[row][feature] = sum over the groups of x * weight, both with their scales.
template <int64_t kUnit, bool kHasMinimums>
void multiply_tile(TileOfRows x, Panel panel, int64_t num_groups, float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = num_lanes();
  for (int i = 0; i < kRows * kVectors; ++i) hn::Store(hn::Zero(d), d, sums + i * lanes);
  const int16_t* HWY_RESTRICT values = x.values;
  const int16_t* HWY_RESTRICT weight = panel.values;
  constexpr int64_t kUnits = kGroup / kUnit;  // of a group
  for (int64_t u = 0; u < num_groups * kUnits; ++u) {
    PairSums<Floats> unit_sums[kRows][kVectors];
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) unit_sums[row][v].clear();
    }
    HWY_UNROLL(4) for (int64_t pair = 0; pair < kUnit / 2; ++pair, values += 2 * kTileRows) {
      PairsOf<Floats> factors[kVectors];
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v, weight += 2 * lanes) {
        factors[v] = load_pairs(d, weight);
      }
      HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
        const auto factor = repeat_pair(d, values + 2 * row);
        HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
          unit_sums[row][v].add_products(factor, factors[v]);
        }
      }
    }
    FloatVec scales[kVectors];
    HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
      scales[v] = hn::Load(d, panel.scales + (u * kVectors + v) * lanes);
    }
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      const auto scale = hn::Set(d, x.scales[u / kUnits * kTileRows + row]);
      const auto sum = hn::Set(d, kHasMinimums ? x.sums[u * kTileRows + row] : 0.0F);
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        float* total = sums + (row * kVectors + v) * lanes;
        auto result =
            hn::MulAdd(unit_sums[row][v].total(), hn::Mul(scale, scales[v]), hn::Load(d, total));
        if (kHasMinimums) {
          const auto minimum = hn::Load(d, panel.minimums + (u * kVectors + v) * lanes);
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
template <int64_t kUnit, bool kHasMinimums>
void multiply_panels(const RoundedProduct& product, const Panel& panels, int64_t first,
                     int64_t count) {
  constexpr int64_t kUnits = kGroup / kUnit;  // of a group
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(product.in_features);
  const int64_t num_tiles = product.x.num_tiles(product.num_rows);
  HWY_ALIGN float sums[kRows * kMaxFeatures];
  const auto multiply_rows = [&](int64_t tile, int64_t g, int64_t size, int64_t n,
                                 int64_t i) HWY_ATTR {
    const int64_t row = tile * kTileRows + i;
    if (row >= product.num_rows) return;
    const int64_t place = tile * num_groups + g;
    const TileOfRows x = {product.x.values + place * kGroup * kTileRows + 2 * i,
                          product.x.scales + place * kTileRows + i,
                          product.x.sums + place * kUnits * kTileRows + i};
    const int64_t feature = n * num_groups + g * width;
    const Panel panel = {panels.values + feature * kGroup, panels.scales + feature * kUnits,
                         kHasMinimums ? panels.minimums + feature * kUnits : nullptr};
    multiply_tile<kUnit, kHasMinimums>(x, panel, size, sums);
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

void multiply_rounded_rows(const RoundedProduct& product, int64_t first, int64_t last) {
  const auto* groups = group_scales(product.weight);
  const bool has_minimums = groups != nullptr && groups->minimums != nullptr;
  const int64_t unit = product.x.sum_group;
  const auto of_unit = [&]<int64_t kUnit>() {
    return has_minimums ? multiply_panels<kUnit, true> : multiply_panels<kUnit, false>;
  };
  const auto multiply = unit == 16   ? of_unit.template operator()<16>()
                        : unit == 32 ? of_unit.template operator()<32>()
                                     : of_unit.template operator()<64>();
  const int64_t width = panel_width();
  const int64_t num_groups = RoundedRows::num_groups(product.in_features);
  const int64_t num_units = num_groups * (kGroup / unit);
  const int64_t feature_bytes = num_groups * kGroup * static_cast<int64_t>(sizeof(int16_t));
  const int64_t stretch = std::max(kWidenedBytes / feature_bytes / width, int64_t{1}) * width;
  const int64_t num_features = std::min(stretch, (last - first + width - 1) / width * width);
  const int64_t num_values = num_features * num_groups * kGroup / 2;  // two take a float's place
  const int64_t num_scales = num_features * num_units;
  Scratch scratch(num_values + 2 * num_scales, 3);
  const Panel panels = {reinterpret_cast<int16_t*>(scratch.take(num_values)),
                        scratch.take(num_scales),
                        has_minimums ? scratch.take(num_scales) : nullptr};
  for (int64_t n = first; n < last; n += stretch) {
    const int64_t count = std::min(stretch, last - n);
    for (int64_t i = 0; i < count; i += width) {
      const int64_t place = i * num_groups;
      const int64_t units_place = i * num_units;
      fill_panel(product.weight, product.in_features, unit, n + i, count - i,
                 {panels.values + place * kGroup, panels.scales + units_place,
                  has_minimums ? panels.minimums + units_place : nullptr});
    }
    multiply(product, panels, n, count);
  }
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_rounded_rows);

int64_t rounded_sum_group(const WeightRows& weight) {
  const auto* groups = group_scales(weight);
  return groups == nullptr ? RoundedRows::kGroup
                           : std::min(groups->group_size, RoundedRows::kGroup);
}

void multiply_rounded_rows(const RoundedProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_rounded_rows)(product, first, last);
}

}  // namespace prepack
#endif
