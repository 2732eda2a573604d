// Weights of some features side by side, as many rounded rows are multiplied with them. Included
// once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_PANELS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_PANELS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_PANELS_INL_H_
#endif

#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_rows.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

constexpr int kRoundedPanelVectors = 2;
constexpr int64_t kMaxPanelFeatures = kRoundedPanelVectors * hn::MaxLanes(Floats());
constexpr int64_t kPanelBlock = RoundedRows<int16_t>::kBlock;
static_assert(kPanelBlock == RoundedRows<int8_t>::kBlock);

// Blocks of a row that are widened before the next row's: a cache line or more.
constexpr int64_t kWidenedBlocks = 4;

/// A vector or more of features side by side, for all of k. A unit is RoundedRows::sum_group
/// numbers, a group one or several of these that share a scale and a minimum.
template <typename T>
struct RoundedPanel {
  T* values;        // [num_blocks, kPanelBlock / kTogether, width, kTogether]
  float* scales;    // [num_groups, width]; null where rows have one each, which is applied at last
  float* minimums;  // likewise; null for none
};

HWY_INLINE int64_t rounded_panel_width() { return kRoundedPanelVectors * num_lanes(); }

/// One block of a row of 4 bits.
template <typename T>
HWY_INLINE void widen_words(const uint16_t* words, T* to) {
  static_assert(kPanelBlock == kInt4Block);
  for (int64_t i = 0; i < kPanelBlock;
       i += kMinInt4Group, words += kInt4Words, to += kMinInt4Group) {
    for (int64_t place = 0; place < 4; ++place) {
      for (int64_t word = 0; word < kInt4Words; ++word) {
        to[place * kInt4Words + word] = static_cast<T>(words[word] >> (4 * place) & 0xF);
      }
    }
  }
}

/// The values of a panel's rows, and zeros behind their end.
/// @param rows  [rounded_panel_width()] of the weight's
template <typename T>
void widen_panel_rows(const WeightRows& weight, int64_t in_features, const int64_t* rows, T* to) {
  const int64_t width = rounded_panel_width();
  const int64_t num_blocks = RoundedRows<T>::num_blocks(in_features);
  const auto* int4 = std::get_if<Int4Rows>(&weight);
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  const auto* int8_values = int8 != nullptr   ? int8->values
                            : int4 != nullptr ? nullptr
                                              : std::get<Int8GroupRows>(weight).values;
  HWY_ALIGN T values[kMaxPanelFeatures * kWidenedBlocks * kPanelBlock];
  for (int64_t b = 0; b < num_blocks; b += kWidenedBlocks) {
    const int64_t count = std::min(kWidenedBlocks, num_blocks - b);
    for (int64_t i = 0; i < width; ++i) {
      T* row = values + i * count * kPanelBlock;
      if (int4 != nullptr) {
        const auto* words =
            reinterpret_cast<const uint16_t*>(int4->values + rows[i] * int4_row_bytes(in_features));
        for (int64_t j = 0; j < count; ++j) {
          widen_words(words + (b + j) * (kPanelBlock / 4), row + j * kPanelBlock);
        }
      } else {
        const int64_t size = std::min(in_features - b * kPanelBlock, count * kPanelBlock);
        const auto end =
            std::copy_n(int8_values + rows[i] * in_features + b * kPanelBlock, size, row);
        std::fill(end, row + count * kPanelBlock, T{0});
        if constexpr (sizeof(T) == 1 && ByteSums<Floats>::kIsBiased) {
          for (int64_t k = 0; k < count * kPanelBlock; ++k) row[k] ^= -128;
        }
      }
    }
    // As many numbers as fill 32 bits go together.
    transpose(reinterpret_cast<const float*>(values), width, count * kPanelBlock / kTogether<T>,
              reinterpret_cast<float*>(to));
    to += count * kPanelBlock * width;
  }
}

/// One number for each unit of a panel's rows, and zeros behind their end.
/// @param rows  [rounded_panel_width()] of the weight's
inline void spread_scales(const GroupScales& groups, const void* numbers, int64_t in_features,
                          const int64_t* rows, int64_t unit, int64_t num_units, float* to) {
  constexpr int64_t kStretch = 64;
  const int64_t width = rounded_panel_width();
  const int shift = group_shift(groups.group_size, unit);
  const int64_t row_groups = in_features / groups.group_size;
  HWY_ALIGN float by_rows[kMaxPanelFeatures * kStretch];
  HWY_ALIGN float by_units[kStretch * kMaxPanelFeatures];
  for (int64_t u = 0; u < num_units; u += kStretch) {
    const int64_t count = std::min(kStretch, num_units - u);
    const int64_t first = u >> shift;
    const int64_t num_groups = std::min(((u + count - 1) >> shift) + 1, row_groups) - first;
    for (int64_t i = 0; i < width; ++i) {
      float* row = by_rows + i * kStretch;
      float of_groups[kStretch];
      float* wide = shift == 0 ? row : of_groups;
      widen_scales(groups.dtype, numbers, rows[i] * row_groups + first, num_groups, wide);
      std::fill(wide + num_groups, wide + kStretch, 0.0F);
      if (shift == 0) continue;
      for (int64_t j = 0; j < kStretch; ++j) row[j] = wide[j >> shift];
    }
    transpose(by_rows, width, kStretch, by_units);
    std::copy_n(by_units, count * width, to + u * width);
  }
}

/// @param group  numbers of a panel's group, which divides the weight's
/// @param count  features that are there, the last of which fills up the panel
template <typename T>
void fill_panel(const WeightRows& weight, int64_t in_features, int64_t group, int64_t first,
                int64_t count, const RoundedPanel<T>& panel) {
  const int64_t width = rounded_panel_width();
  const int64_t num_groups = RoundedRows<T>::num_blocks(in_features) * kPanelBlock / group;
  const auto* groups = group_scales(weight);
  int64_t rows[kMaxPanelFeatures];
  for (int64_t i = 0; i < width; ++i) rows[i] = first + std::min(i, count - 1);
  widen_panel_rows(weight, in_features, rows, panel.values);
  const auto spread = [&](const void* numbers, float* to) HWY_ATTR {
    spread_scales(*groups, numbers, in_features, rows, group, num_groups, to);
  };
  if (groups != nullptr) spread(groups->scales, panel.scales);
  if (panel.minimums != nullptr) spread(groups->minimums, panel.minimums);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
