#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_many_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <variant>

#include "kernels/gated_panels.h"
#include "kernels/rounded_panels-inl.h"
#include "kernels/rounded_streamed-inl.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_tile-inl.h"
#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kTileRows = kRoundedTileRows;
constexpr int64_t kBlock = kPanelBlock;
static_assert(kMaxPanelFeatures <= kMaxGated);

// A unit's sums stay in registers, of two vectors of features for each row; of 8 bits, whose units
// are soon summed, the sums of all units too. Of the 16 registers of AVX2 six rows would leave room
// for the operands one by one, but GCC 12 keeps more of them.
constexpr bool kHas512Bits = hn::MaxLanes(Floats()) == 16;
template <typename T>
constexpr int kRows = !kHas512Bits     ? 4
                      : sizeof(T) == 1 ? 6
                                       : 12;

// A tile of rows is multiplied with a panel of features that stays in the first cache (16 KB or
// less of 256-bit vectors), for rows that stay in the second (100 KB), of weights that are widened
// once for all rows (1 MB). Vectors of 512 bits make panels of up to 64 KB, which are read from the
// second cache in time, and the weights stay there, too.
constexpr int64_t kSliceBlocks = kHas512Bits ? 16 : 8;
constexpr int64_t kSliceTiles = 8;
constexpr int64_t kWidenedBytes = int64_t{kHas512Bits ? 512 : 1024} << 10;

/// Panels whose weights are widened.
/// @param widened     one behind the other
/// @param slice_sums  [num_panels, kSliceTiles * kTileRows, width]: of the slices of k before the
///                    last, and of all of gates
template <int64_t kUnit, PanelForm kForm, typename T>
void multiply_panels(const RoundedProduct<T>& product, const WeightPanels& panels,
                     const RoundedPanel<T>& widened, float* slice_sums) {
  constexpr int64_t kUnits = kBlock / kUnit;  // of a block
  constexpr int64_t kXScales = kBlock / RoundedRows<T>::kGroup;
  const int64_t width = rounded_panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(product.in_features);
  const int64_t num_tiles = product.x.num_tiles(product.num_rows);
  const int64_t sums_of_panel = kSliceTiles * kTileRows * width;
  HWY_ALIGN float sums[kRows<T> * kMaxPanelFeatures];
  const auto no_fetch = [](int64_t /*block*/) PREPACK_INLINED {};
  const auto multiply_rows = [&](int64_t tile, int64_t block, int64_t size, int64_t n,
                                 int64_t i) HWY_ATTR {
    const int64_t row = tile * kTileRows + i;
    if (row >= product.num_rows) return;
    const int64_t place = (tile * num_blocks + block) * kTileRows;
    const TileOfRows<T> x = {
        product.x.values + place * kBlock + kTogether<T> * i,
        product.x.scales + place * kXScales + i, product.x.sums + place * kUnits + i,
        kForm.is_byte ? product.x.corrections + place * kXScales + i : nullptr};
    const int64_t panel_place = (n * num_blocks + block) * width;
    const RoundedPanel<T> panel = {
        widened.values + panel_place * kBlock,
        kForm.has_groups ? widened.scales + panel_place * kUnits / kForm.group_units : nullptr,
        kForm.has_minimums ? widened.minimums + panel_place * kUnits / kForm.group_units : nullptr};
    constexpr int64_t kSize = kRows<T> * kRoundedPanelVectors * hn::MaxLanes(Floats());
    float* const kept =
        slice_sums + n * sums_of_panel + (tile % kSliceTiles * kTileRows + i) * width;
    if (block > 0) std::copy_n(kept, kSize, sums);
    multiply_rounded_tile<kRows<T>, kTileRows, kUnit, kForm>(x, panel, size, no_fetch, block > 0,
                                                             sums);
    // Rounded to the output's dtype once, when all slices are summed.
    const int64_t num_rows = std::min<int64_t>(kRows<T>, product.num_rows - row);
    if (block + size < num_blocks || panels.is_gate(n)) {
      std::copy_n(sums, kSize, kept);
    } else if (panels.are_gated()) {
      store_gated_sums(product, kept - sums_of_panel, sums, width, row, num_rows, panels[n]);
    } else {
      store_rounded_sums(product, sums, width, row, num_rows, panels[n].feature, panels[n].count);
    }
  };
  for (int64_t tiles = 0; tiles < num_tiles; tiles += kSliceTiles) {
    const int64_t last_tile = std::min(tiles + kSliceTiles, num_tiles);
    for (int64_t block = 0; block < num_blocks; block += kSliceBlocks) {
      const int64_t size = std::min(kSliceBlocks, num_blocks - block);
      for (int64_t n = 0; n < panels.num_panels(); ++n) {
        for (int64_t tile = tiles; tile < last_tile; ++tile) {
          for (int64_t i = 0; i < kTileRows; i += kRows<T>) multiply_rows(tile, block, size, n, i);
        }
      }
    }
  }
}

/// Widens weights for a stretch of features at a time.
template <int64_t kUnit, PanelForm kForm, typename T>
void multiply_features(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const int64_t width = rounded_panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(product.in_features);
  constexpr int64_t kGroup = kUnit * kForm.group_units;  // of a panel
  const int64_t num_groups = num_blocks * kBlock / kGroup;
  const int64_t panel_bytes = width * num_blocks * kBlock * static_cast<int64_t>(sizeof(T));
  WeightPanels panels = {first, last - first, width, product.num_gates};
  const int64_t of_feature = panels.are_gated() ? 2 : 1;  // panels
  const int64_t stretch = std::max(kWidenedBytes / panel_bytes / of_feature, int64_t{1}) * width;
  panels.count = std::min(stretch, last - first);
  const int64_t num_features = panels.num_panels() * width;
  const int64_t num_values = num_features * num_blocks * kBlock / kTogether<T>;  // in floats
  const int64_t num_scales = kForm.has_groups ? num_features * num_groups : 0;
  const bool keeps_sums = num_blocks > kSliceBlocks || panels.are_gated();
  const int64_t num_sums = keeps_sums ? num_features * kSliceTiles * kTileRows : 0;
  Scratch scratch(num_values + 2 * num_scales + num_sums, 4);
  const RoundedPanel<T> widened = {reinterpret_cast<T*>(scratch.take(num_values)),
                                   kForm.has_groups ? scratch.take(num_scales) : nullptr,
                                   kForm.has_minimums ? scratch.take(num_scales) : nullptr};
  float* const slice_sums = scratch.take(num_sums);
  for (; panels.first < last; panels.first += stretch) {
    panels.count = std::min(stretch, last - panels.first);
    for (int64_t n = 0; n < panels.num_panels(); ++n) {
      const int64_t groups_place = n * width * num_groups;
      fill_panel<T>(product.weight, product.in_features, kGroup, panels[n].row, panels[n].count,
                    {widened.values + n * width * num_blocks * kBlock,
                     kForm.has_groups ? widened.scales + groups_place : nullptr,
                     kForm.has_minimums ? widened.minimums + groups_place : nullptr});
    }
    multiply_panels<kUnit, kForm>(product, panels, widened, slice_sums);
  }
}

// Sums of bytes take so few instructions where these are VNNI's that those for scales matter: units
// of long groups are summed before.
constexpr int kLongGroupUnits = 4;

/// Calls f.operator()<kForm>() with the form of a weight in groups.
template <int64_t kUnit, bool kIsByte, typename T, typename F>
void with_groups_form(const GroupScales& groups, const F& f) {
  const auto with_units = [&]<int kGroupUnits>() {
    groups.minimums == nullptr
        ? f.template operator()<PanelForm{true, false, kIsByte, kGroupUnits}>()
        : f.template operator()<PanelForm{true, true, kIsByte, kGroupUnits}>();
  };
  if constexpr (ByteSums<Floats>::kIsBiased && sizeof(T) == 1 && !kIsByte) {
    if (groups.group_size >= kLongGroupUnits * kUnit) {
      return with_units.template operator()<kLongGroupUnits>();
    }
  }
  with_units.template operator()<1>();
}

template <int64_t kUnit, bool kIsByte, typename T>
void multiply_units(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const auto* groups = group_scales(product.weight);
  if (groups == nullptr) {
    return multiply_features<kUnit, PanelForm{false, false, kIsByte}>(product, first, last);
  }
  with_groups_form<kUnit, kIsByte, T>(
      *groups, [&]<PanelForm kForm>() { multiply_features<kUnit, kForm>(product, first, last); });
}

#if HWY_TARGET <= HWY_AVX3
// Of more rows x leaves the second cache, so that laying out weights for all of k at once is as
// fast.
constexpr int64_t kMaxStreamedRows = 256;

template <PanelForm kForm, typename T, typename Weights>
void multiply_streamed(const RoundedProduct<T>& product, const Weights& weights, int64_t first,
                       int64_t last) {
  StreamedProduct<RoundedRows<T>::kGroup, kForm, T, Weights>(product, weights)
      .multiply(first, last);
}

template <bool kIsByte, typename T, typename Weights>
void multiply_streamed_groups(const RoundedProduct<T>& product, const Weights& weights,
                              int64_t first, int64_t last) {
  with_groups_form<RoundedRows<T>::kGroup, kIsByte, T>(
      *group_scales(product.weight),
      [&]<PanelForm kForm>() { multiply_streamed<kForm>(product, weights, first, last); });
}

void multiply_streamed_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  using Weights = StreamedInt8<int8_t, ByteSums<Floats>::kIsBiased>;
  const int64_t in_features = product.in_features;
  if (const auto* int4 = std::get_if<Int4Rows>(&product.weight)) {
    multiply_streamed_groups<false>(product, StreamedInt4(int4->values, in_features), first, last);
  } else if (const auto* int8 = std::get_if<Int8Rows>(&product.weight)) {
    multiply_streamed<PanelForm{false, false, true}>(product, Weights(int8->values, in_features),
                                                     first, last);
  } else {
    const auto* values = std::get<Int8GroupRows>(product.weight).values;
    multiply_streamed_groups<true>(product, Weights(values, in_features), first, last);
  }
}
#endif

void multiply_many_int16(const RoundedProduct<int16_t>& product, int64_t first, int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  const auto* int8 = std::get_if<Int8Rows>(&product.weight);
  if (int8 != nullptr && product.num_rows <= kMaxStreamedRows) {
    const StreamedInt8<int16_t, false> weights(int8->values, product.in_features);
    return multiply_streamed<PanelForm{false, false, false}>(product, weights, first, last);
  }
#endif
  const int64_t unit = product.x.sum_group;
  unit == 16   ? multiply_units<16, false>(product, first, last)
  : unit == 32 ? multiply_units<32, false>(product, first, last)
               : multiply_units<64, false>(product, first, last);
}

void multiply_many_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  if (product.num_rows <= kMaxStreamedRows) return multiply_streamed_int8(product, first, last);
#endif
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
