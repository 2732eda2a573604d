#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_many_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <iterator>
#include <type_traits>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kTileRows = kRoundedTileRows;
constexpr int64_t kBlock = RoundedRows<int16_t>::kBlock;

// A unit's sums stay in registers, of two vectors of features for each row. Of the 16 registers of
// AVX2 six rows would leave room for the operands one by one, but GCC 12 keeps more of them. Units
// of 8 bits are soon summed: of the 32 registers of AVX-512 half are for the sums of all units.
constexpr bool kHas512Bits = hn::MaxLanes(Floats()) == 16;
template <typename T>
constexpr bool kKeepsTotals = kHas512Bits && sizeof(T) == 1;
template <typename T>
constexpr int kRows = kKeepsTotals<T>          ? 6
                      : HWY_TARGET <= HWY_AVX3 ? 12
                                               : 4;
constexpr int kVectors = 2;
constexpr int64_t kMaxFeatures = kVectors * hn::MaxLanes(Floats());

// A tile of rows is multiplied with a panel of features that stays in the first cache (16 KB or
// less of 256-bit vectors), for rows that stay in the second (100 KB), of weights that are widened
// once for all rows (1 MB). Vectors of 512 bits make panels of up to 64 KB, which are read from the
// second cache in time, and the weights stay there, too.
constexpr int64_t kSliceBlocks = kHas512Bits ? 16 : 8;
constexpr int64_t kSliceTiles = 8;
constexpr int64_t kWidenedBytes = int64_t{kHas512Bits ? 512 : 1024} << 10;

// Blocks of a row that are widened before the next row's: a cache line or more.
constexpr int64_t kWidenedBlocks = 4;

/// A vector or more of features side by side, for all of k. A unit is RoundedRows::sum_group
/// numbers.
template <typename T>
struct Panel {
  T* values;        // [num_blocks, kBlock / kTogether, width, kTogether]
  float* scales;    // [num_units, width]; null where rows have one each, which is applied at last
  float* minimums;  // likewise; null for none
};

HWY_INLINE int64_t panel_width() { return kVectors * num_lanes(); }

/// One block of a row of 4 bits.
template <typename T>
HWY_INLINE void widen_words(const uint16_t* words, T* to) {
  static_assert(kBlock == kInt4Block);
  for (int64_t i = 0; i < kBlock; i += kMinInt4Group, words += kInt4Words, to += kMinInt4Group) {
    for (int64_t place = 0; place < 4; ++place) {
      for (int64_t word = 0; word < kInt4Words; ++word) {
        to[place * kInt4Words + word] = static_cast<T>(words[word] >> (4 * place) & 0xF);
      }
    }
  }
}

/// The values of a panel's rows, and zeros behind their end.
/// @param rows  [panel_width()] of the weight's
template <typename T>
void widen_rows(const WeightRows& weight, int64_t in_features, const int64_t* rows, T* to) {
  const int64_t width = panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(in_features);
  const auto* int4 = std::get_if<Int4Rows>(&weight);
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  const auto* int8_values = int8 != nullptr   ? int8->values
                            : int4 != nullptr ? nullptr
                                              : std::get<Int8GroupRows>(weight).values;
  HWY_ALIGN T values[kMaxFeatures * kWidenedBlocks * kBlock];
  for (int64_t b = 0; b < num_blocks; b += kWidenedBlocks) {
    const int64_t count = std::min(kWidenedBlocks, num_blocks - b);
    for (int64_t i = 0; i < width; ++i) {
      T* row = values + i * count * kBlock;
      if (int4 != nullptr) {
        const auto* words =
            reinterpret_cast<const uint16_t*>(int4->values + rows[i] * int4_row_bytes(in_features));
        for (int64_t j = 0; j < count; ++j) {
          widen_words(words + (b + j) * (kBlock / 4), row + j * kBlock);
        }
      } else {
        const int64_t size = std::min(in_features - b * kBlock, count * kBlock);
        const auto end = std::copy_n(int8_values + rows[i] * in_features + b * kBlock, size, row);
        std::fill(end, row + count * kBlock, T{0});
        if constexpr (sizeof(T) == 1 && ByteSums<Floats>::kIsBiased) {
          for (int64_t k = 0; k < count * kBlock; ++k) row[k] ^= -128;
        }
      }
    }
    // As many numbers as fill 32 bits go together.
    transpose(reinterpret_cast<const float*>(values), width, count * kBlock / kTogether<T>,
              reinterpret_cast<float*>(to));
    to += count * kBlock * width;
  }
}

/// One number for each unit of a panel's rows, and zeros behind their end.
/// @param rows  [panel_width()] of the weight's
void spread_scales(const GroupScales& groups, const void* numbers, int64_t in_features,
                   const int64_t* rows, int64_t unit, int64_t num_units, float* to) {
  constexpr int64_t kStretch = 64;
  const int64_t width = panel_width();
  const int shift = group_shift(groups.group_size, unit);
  const int64_t row_groups = in_features / groups.group_size;
  HWY_ALIGN float by_rows[kMaxFeatures * kStretch];
  HWY_ALIGN float by_units[kStretch * kMaxFeatures];
  for (int64_t u = 0; u < num_units; u += kStretch) {
    const int64_t count = std::min(kStretch, num_units - u);
    const int64_t first = u >> shift;
    const int64_t num_groups = std::min(((u + count - 1) >> shift) + 1, row_groups) - first;
    for (int64_t i = 0; i < width; ++i) {
      float wide[kStretch];
      const auto end = wide + num_groups;
      widen_scales(groups.dtype, numbers, rows[i] * row_groups + first, num_groups, wide);
      std::fill(end, std::end(wide), 0.0F);
      float* row = by_rows + i * kStretch;
      for (int64_t j = 0; j < kStretch; ++j) row[j] = wide[j >> shift];
    }
    transpose(by_rows, width, kStretch, by_units);
    std::copy_n(by_units, count * width, to + u * width);
  }
}

/// @param count  features that are there, the last of which fills up the panel
template <typename T>
void fill_panel(const WeightRows& weight, int64_t in_features, int64_t unit, int64_t first,
                int64_t count, const Panel<T>& panel) {
  const int64_t width = panel_width();
  const int64_t num_units = RoundedRows<T>::num_blocks(in_features) * (kBlock / unit);
  const auto* groups = group_scales(weight);
  int64_t rows[kMaxFeatures];
  for (int64_t i = 0; i < width; ++i) rows[i] = first + std::min(i, count - 1);
  widen_rows(weight, in_features, rows, panel.values);
  const auto spread = [&](const void* numbers, float* to) HWY_ATTR {
    spread_scales(*groups, numbers, in_features, rows, unit, num_units, to);
  };
  if (groups != nullptr) spread(groups->scales, panel.scales);
  if (panel.minimums != nullptr) spread(groups->minimums, panel.minimums);
}

/// kRows<T> rows of x, from the same block on as the panel.
template <typename T>
struct TileOfRows {
  const T* values;             // [num_blocks, kBlock / kTogether, kTileRows, kTogether]
  const float* scales;         // [num_blocks * kBlock / kGroup, kTileRows]
  const float* sums;           // [num_units, kTileRows]
  const int32_t* corrections;  // as scales, of ByteSums
};

/// The sums of a tile: in memory, or in registers until they are stored.
template <typename T, bool kInRegisters = kKeepsTotals<T>>
class Totals {
 public:
  explicit HWY_INLINE Totals(float* to) : to_(to) {
    for (int i = 0; i < kRows<T> * kVectors; ++i) {
      hn::Store(hn::Zero(Floats()), Floats(), to + i * num_lanes());
    }
  }
  template <int kRow, int kVector>
  HWY_INLINE FloatVec get() const {
    return hn::Load(Floats(), to_ + (kRow * kVectors + kVector) * num_lanes());
  }
  template <int kRow, int kVector>
  HWY_INLINE void set(FloatVec total) {
    hn::Store(total, Floats(), to_ + (kRow * kVectors + kVector) * num_lanes());
  }
  HWY_INLINE void store() const {}

 private:
  float* to_;
};

template <typename T>
class Totals<T, true> {
 public:
  explicit HWY_INLINE Totals(float* to) : to_(to) {
    unrolled<kRows<T> * kVectors>([&]<int i>() HWY_ATTR { totals_[i] = hn::Zero(Floats()); });
  }
  template <int kRow, int kVector>
  HWY_INLINE FloatVec get() const {
    return totals_[kRow * kVectors + kVector];
  }
  template <int kRow, int kVector>
  HWY_INLINE void set(FloatVec total) {
    totals_[kRow * kVectors + kVector] = total;
  }
  HWY_INLINE void store() const {
    unrolled<kRows<T> * kVectors>(
        [&]<int i>() HWY_ATTR { hn::Store(totals_[i], Floats(), to_ + i * num_lanes()); });
  }

 private:
  float* to_;
  FloatVec totals_[kRows<T> * kVectors];
};

/// What a weight is besides its values.
struct Form {
  bool has_groups;  // or else a scale for each row
  bool has_minimums;
  bool is_byte;  // of 8 bits, as x
};

/// What adds products within a unit.
template <bool kIsByte, typename T>
using UnitSums = std::conditional_t<kIsByte, ByteSums<Floats>, IntegerSums<Floats, T>>;

/// sums[row][feature] = sum over the groups of x * weight, both with the scales of their groups.
template <int64_t kUnit, Form kForm, typename T>
HWY_FLATTEN void multiply_tile(TileOfRows<T> x, Panel<T> panel, int64_t num_blocks,
                               float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = num_lanes();
  Totals<T> totals(sums);
  const T* HWY_RESTRICT values = x.values;
  const T* HWY_RESTRICT weight = panel.values;
  constexpr int64_t kScaleUnits = RoundedRows<T>::kGroup / kUnit;  // that share a scale of x
  static_assert(kScaleUnits > 0 && (kForm.is_byte || holds_additions<T>(kUnit / kTogether<T>)));
  for (int64_t u = 0; u < num_blocks * (kBlock / kUnit); ++u) {
    UnitSums<kForm.is_byte, T> unit_sums[kRows<T>][kVectors];
    unrolled<kRows<T>>([&]<int row>() HWY_ATTR {
      unrolled<kVectors>([&]<int v>() HWY_ATTR {
        if constexpr (kForm.is_byte) {
          static_assert(kScaleUnits == 1);
          unit_sums[row][v].start(x.corrections[u * kTileRows + row]);
        } else {
          unit_sums[row][v].clear();
        }
      });
    });
    HWY_UNROLL(4) for (int64_t k = 0; k < kUnit; k += kTogether<T>) {
      IntegersOf<Floats, T> factors[kVectors];
      unrolled<kVectors>([&]<int v>() HWY_ATTR {
        factors[v] = load_integers<T>(d, weight + v * kTogether<T> * lanes);
      });
      unrolled<kRows<T>>([&]<int row>() HWY_ATTR {
        const auto factor = repeat_lane(d, values + kTogether<T> * row);
        unrolled<kVectors>([&]<int v>()
                               HWY_ATTR { unit_sums[row][v].add_products(factors[v], factor); });
      });
      weight += kTogether<T> * kVectors * lanes;
      values += kTogether<T> * kTileRows;
    }
    FloatVec scales[kVectors];
    FloatVec minimums[kVectors];
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      if (kForm.has_groups) scales[v] = hn::Load(d, panel.scales + (u * kVectors + v) * lanes);
      if (kForm.has_minimums)
        minimums[v] = hn::Load(d, panel.minimums + (u * kVectors + v) * lanes);
    });
    unrolled<kRows<T>>([&]<int row>() HWY_ATTR {
      const auto scale = hn::Set(d, x.scales[u / kScaleUnits * kTileRows + row]);
      const auto sum = hn::Set(d, kForm.has_minimums ? x.sums[u * kTileRows + row] : 0.0F);
      unrolled<kVectors>([&]<int v>() HWY_ATTR {
        auto total = totals.template get<row, v>();
        const auto of_both = kForm.has_groups ? hn::Mul(scale, scales[v]) : scale;
        total = hn::MulAdd(unit_sums[row][v].total(), of_both, total);
        if (kForm.has_minimums) total = hn::MulAdd(sum, minimums[v], total);
        totals.template set<row, v>(total);
      });
    });
  }
  totals.store();
}

/// Features [first, first + count), whose weights are widened.
/// @param panels      one behind the other
/// @param slice_sums  [count, kSliceTiles * kTileRows]: of the slices of k before the last
template <int64_t kUnit, Form kForm, typename T>
void multiply_panels(const RoundedProduct<T>& product, const Panel<T>& panels, float* slice_sums,
                     int64_t first, int64_t count) {
  constexpr int64_t kUnits = kBlock / kUnit;  // of a block
  constexpr int64_t kXScales = kBlock / RoundedRows<T>::kGroup;
  const int64_t width = panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(product.in_features);
  const int64_t num_tiles = product.x.num_tiles(product.num_rows);
  HWY_ALIGN float sums[kRows<T> * kMaxFeatures];
  const auto add = [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Add(a, b); };
  const auto multiply_rows = [&](int64_t tile, int64_t block, int64_t size, int64_t n,
                                 int64_t i) HWY_ATTR {
    const int64_t row = tile * kTileRows + i;
    if (row >= product.num_rows) return;
    const int64_t place = (tile * num_blocks + block) * kTileRows;
    const TileOfRows<T> x = {
        product.x.values + place * kBlock + kTogether<T> * i,
        product.x.scales + place * kXScales + i, product.x.sums + place * kUnits + i,
        kForm.is_byte ? product.x.corrections + place * kXScales + i : nullptr};
    const int64_t feature = n * num_blocks + block * width;
    const Panel<T> panel = {panels.values + feature * kBlock,
                            kForm.has_groups ? panels.scales + feature * kUnits : nullptr,
                            kForm.has_minimums ? panels.minimums + feature * kUnits : nullptr};
    multiply_tile<kUnit, kForm>(x, panel, size, sums);
    // Rounded to the output's dtype once, when all slices are summed.
    constexpr int64_t kSize = kRows<T> * kVectors * hn::MaxLanes(Floats());
    const int64_t sums_place =
        (n * kSliceTiles + tile % kSliceTiles * width) * kTileRows + i * width;
    if (block > 0) transform(kSize, add, sums, slice_sums + sums_place, sums);
    if (block + size < num_blocks) {
      std::copy_n(sums, kSize, slice_sums + sums_place);
    } else {
      store_rounded_sums(product, sums, width, row,
                         std::min<int64_t>(kRows<T>, product.num_rows - row), first + n,
                         std::min(width, count - n));
    }
  };
  for (int64_t tiles = 0; tiles < num_tiles; tiles += kSliceTiles) {
    const int64_t last_tile = std::min(tiles + kSliceTiles, num_tiles);
    for (int64_t block = 0; block < num_blocks; block += kSliceBlocks) {
      const int64_t size = std::min(kSliceBlocks, num_blocks - block);
      for (int64_t n = 0; n < count; n += width) {
        for (int64_t tile = tiles; tile < last_tile; ++tile) {
          for (int64_t i = 0; i < kTileRows; i += kRows<T>) multiply_rows(tile, block, size, n, i);
        }
      }
    }
  }
}

/// Widens weights for a stretch of features at a time.
template <int64_t kUnit, Form kForm, typename T>
void multiply_features(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const int64_t width = panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(product.in_features);
  const int64_t num_units = num_blocks * (kBlock / kUnit);
  const int64_t feature_bytes = num_blocks * kBlock * static_cast<int64_t>(sizeof(T));
  const int64_t stretch = std::max(kWidenedBytes / feature_bytes / width, int64_t{1}) * width;
  const int64_t num_features = std::min(stretch, (last - first + width - 1) / width * width);
  const int64_t num_values = num_features * num_blocks * kBlock / kTogether<T>;  // in floats
  const int64_t num_scales = kForm.has_groups ? num_features * num_units : 0;
  const int64_t num_sums = num_blocks > kSliceBlocks ? num_features * kSliceTiles * kTileRows : 0;
  Scratch scratch(num_values + 2 * num_scales + num_sums, 4);
  const Panel<T> panels = {reinterpret_cast<T*>(scratch.take(num_values)),
                           kForm.has_groups ? scratch.take(num_scales) : nullptr,
                           kForm.has_minimums ? scratch.take(num_scales) : nullptr};
  float* const slice_sums = scratch.take(num_sums);
  for (int64_t n = first; n < last; n += stretch) {
    const int64_t count = std::min(stretch, last - n);
    for (int64_t i = 0; i < count; i += width) {
      const int64_t units_place = i * num_units;
      fill_panel<T>(product.weight, product.in_features, kUnit, n + i, count - i,
                    {panels.values + i * num_blocks * kBlock,
                     kForm.has_groups ? panels.scales + units_place : nullptr,
                     kForm.has_minimums ? panels.minimums + units_place : nullptr});
    }
    multiply_panels<kUnit, kForm>(product, panels, slice_sums, n, count);
  }
}

template <int64_t kUnit, bool kIsByte, typename T>
void multiply_units(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const auto* groups = group_scales(product.weight);
  if (groups == nullptr) {
    multiply_features<kUnit, Form{false, false, kIsByte}>(product, first, last);
  } else if (groups->minimums == nullptr) {
    multiply_features<kUnit, Form{true, false, kIsByte}>(product, first, last);
  } else {
    multiply_features<kUnit, Form{true, true, kIsByte}>(product, first, last);
  }
}

void multiply_many_int16(const RoundedProduct<int16_t>& product, int64_t first, int64_t last) {
  const int64_t unit = product.x.sum_group;
  unit == 16   ? multiply_units<16, false>(product, first, last)
  : unit == 32 ? multiply_units<32, false>(product, first, last)
               : multiply_units<64, false>(product, first, last);
}

void multiply_many_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  std::holds_alternative<Int4Rows>(product.weight) ? multiply_units<32, false>(product, first, last)
                                                   : multiply_units<32, true>(product, first, last);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_many_int16);
HWY_EXPORT(multiply_many_int8);

void multiply_rounded_rows(const RoundedProduct<int16_t>& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_many_int16)(product, first, last);
}

void multiply_rounded_rows(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_many_int8)(product, first, last);
}

int64_t rounded_sum_group(const WeightRows& weight, int64_t x_group) {
  const auto* groups = group_scales(weight);
  return groups == nullptr ? x_group : std::min(groups->group_size, x_group);
}

}  // namespace prepack
#endif
