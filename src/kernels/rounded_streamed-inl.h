// Weights of 8 or 4 bits, multiplied with several rounded rows while they come from memory: for 32
// registers of 512 bits. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_STREAMED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_STREAMED_INL_H_
#undef PREPACK_KERNELS_ROUNDED_STREAMED_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_STREAMED_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/gated_panels.h"
#include "kernels/rounded_panels-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_streamed_weights-inl.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_tile-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// Rows that are multiplied together: their sums are in 24 registers.
constexpr int kStreamedTileRows = 6;
static_assert(kRoundedTileRows == 2 * kStreamedTileRows);

// Along k at most so much is done before the rest that the panel of weights, 16 KB, stays in the
// first cache, with the values that are fetched for the next one.
template <typename T>
constexpr int64_t kStreamedBlocks = 8 / sizeof(T);

/// Panels of weights are laid out one by one, in the first cache, for all rows; meanwhile the
/// values of the next one come from memory, so that it is never idle.
/// @tparam kUnit  RoundedRows::sum_group, which is kGroup: groups of weights are as large at least
/// @tparam T      of x
template <int64_t kUnit, PanelForm kForm, typename T, typename Weights>
class StreamedProduct {
 public:
  StreamedProduct(const RoundedProduct<T>& product, const Weights& weights)
      : product_(product),
        weights_(weights),
        in_features_(product.in_features),
        num_blocks_(RoundedRows<T>::num_blocks(product.in_features)),
        num_pairs_((num_blocks_ + 1) / 2),
        num_parts_((num_pairs_ + kPartPairs - 1) / kPartPairs),
        scratch_(kPanelSize / kTogether<T> + 2 * scales_size() + sums_size(), 4),
        panel_(reinterpret_cast<T*>(scratch_.take(kPanelSize / kTogether<T>))),
        scales_(scratch_.take(scales_size())),
        minimums_(scratch_.take(scales_size())),
        sums_(scratch_.take(sums_size())) {}

  void multiply(int64_t first, int64_t last) {
    const int64_t num_rows = product_.num_rows;
    const WeightPanels panels = {first, last - first, kWidth, product_.num_gates};
    for (int64_t n = 0; n < panels.num_panels(); ++n) {
      const auto panel = panels[n];
      const int64_t next_row = n + 1 < panels.num_panels() ? panels[n + 1].row : panel.row;
      const bool is_up = panels.are_gated() && !panels.is_gate(n);
      float* const sums = sums_ + (is_up ? num_rows * kWidth : 0);
      multiply_features(panel, next_row, sums);
      if (is_up) {
        store_gated_sums(product_, sums_, sums, kWidth, 0, num_rows, panel);
      } else if (!panels.is_gate(n)) {
        store_rounded_sums(product_, sums, kWidth, 0, num_rows, panel.feature, panel.count);
      }
    }
  }

 private:
  static constexpr int64_t kUnits = kPanelBlock / kUnit;  // of a block
  static constexpr int64_t kXScales = kPanelBlock / RoundedRows<T>::kGroup;
  static constexpr int64_t kWidth = kMaxPanelFeatures;
  static constexpr int64_t kPanelSize = kStreamedBlocks<T> * kPanelBlock * kWidth;
  static constexpr int64_t kLineBlocks = Weights::kLineBlocks;
  static constexpr int64_t kPartPairs = kStreamedBlocks<T> / 2;
  static constexpr int64_t kLineValues = kLineBlocks * kPanelBlock * kWidth;  // of a panel

  int64_t scales_size() const { return kForm.has_groups ? panel_groups(num_blocks_) * kWidth : 0; }
  /// As many as a panel has of some blocks.
  int64_t panel_groups(int64_t blocks) const { return blocks * kUnits / kForm.group_units; }
  int64_t sums_size() const {
    return product_.num_rows * kWidth * (product_.num_gates > 0 ? 2 : 1);
  }

  /// @param next_row  where the next panel's weights begin
  void multiply_features(const WeightPanel& of, int64_t next_row, float* sums) {
    PanelRows rows;  // past the last it is computed again
    for (int64_t i = 0; i < kWidth; ++i) rows[i] = of.row + std::min(i, of.count - 1);
    if constexpr (kForm.has_groups) {
      const auto* groups = group_scales(product_.weight);
      const int64_t num_groups = in_features_ / groups->group_size;
      const int shift = group_shift(groups->group_size, kUnit * kForm.group_units);
      const auto spread = [&](const auto* numbers, float* to) HWY_ATTR {
        spread_groups(numbers, rows, num_groups, shift, panel_groups(num_blocks_), to);
      };
      with_type(
          groups->dtype, [&](const auto* numbers) HWY_ATTR { spread(numbers, scales_); },
          groups->scales);
      if constexpr (kForm.has_minimums) {
        with_type(
            groups->dtype, [&](const auto* numbers) HWY_ATTR { spread(numbers, minimums_); },
            groups->minimums);
      }
    }
    for (int64_t part = 0; part < num_parts_; ++part) {
      const int64_t begin = part_line(part);
      for (int64_t line = begin; line < part_line(part + 1); ++line) {
        weights_.fill_line(rows, line, panel_ + (line - begin) * kLineValues);
      }
      multiply_panel(of.row, next_row, part, sums);
    }
  }

  /// Of a part of k, the first block: no group of a panel, nor line, is in two parts.
  int64_t part_begin(int64_t part) const {
    return std::min(part * num_pairs_ / num_parts_ * 2, num_blocks_);
  }
  int64_t part_line(int64_t part) const {
    return (part_begin(part) + kLineBlocks - 1) / kLineBlocks;
  }

  void multiply_panel(int64_t weight_row, int64_t next_row, int64_t part, float* sums) {
    const int64_t num_rows = product_.num_rows;
    const int64_t block = part_begin(part);
    const int64_t size = part_begin(part + 1) - block;
    const bool is_last = part + 1 == num_parts_;
    const int64_t next_part = is_last ? 0 : part + 1;
    const int64_t next_line = part_line(next_part);
    const int64_t next_lines = part_line(next_part + 1) - next_line;
    const auto* next_values =
        weights_.row(is_last ? next_row : weight_row) + next_line * kCacheLine;
    const int64_t row_bytes = weights_.row(1) - weights_.row(0);
    const int64_t scales_before = panel_groups(block) * kWidth;
    const RoundedPanel<T> panel = {panel_, kForm.has_groups ? scales_ + scales_before : nullptr,
                                   kForm.has_minimums ? minimums_ + scales_before : nullptr};
    for (int64_t row = 0; row < num_rows;) {
      const int64_t tile = row / kRoundedTileRows;
      const int64_t i = row % kRoundedTileRows;
      const int64_t of_tile = std::min(num_rows - tile * kRoundedTileRows, kRoundedTileRows);
      // The rows of a tile are multiplied at once, or as two parts.
      const int64_t most = of_tile > kStreamedTileRows ? (of_tile + 1) / 2 : of_tile;
      const int64_t count = std::min(most, of_tile - i);
      const int64_t place = (tile * num_blocks_ + block) * kRoundedTileRows;
      const int64_t scales_place = place * kXScales + i;
      const TileOfRows<T> x = {product_.x.values + place * kPanelBlock + i * kTogether<T>,
                               product_.x.scales + scales_place,
                               product_.x.sums + place * kUnits + i,
                               kForm.is_byte ? product_.x.corrections + scales_place : nullptr};
      // As much of what comes next as these are of all rows.
      const int64_t first = row * kWidth / num_rows;
      const int64_t last = (row + count) * kWidth / num_rows;
      // Inlined at once: a function that does nothing but fetch, GCC 12 takes for one whose calls
      // it may leave out.
      const auto fetch = [=](int64_t b) PREPACK_INLINED {
        for (int64_t line = b * next_lines / size; line < (b + 1) * next_lines / size; ++line) {
          for (int64_t f = first; f < last; ++f) {
            hwy::Prefetch(next_values + f * row_bytes + line * kCacheLine);
          }
        }
      };
      fetch_scales(next_row, part * num_rows + row, part * num_rows + row + count);
      float* to = sums + row * kWidth;
      unrolled<kStreamedTileRows>([&]<int r>() HWY_ATTR {
        if (count == r + 1) {
          multiply_rounded_tile<r + 1, kRoundedTileRows, kUnit, kForm>(x, panel, size, fetch,
                                                                       block > 0, to);
        }
      });
      row += count;
    }
  }

  /// Of the next panel, what belongs to [first, last) of the rows of all parts.
  HWY_INLINE void fetch_scales(int64_t next_row, int64_t first, int64_t last) const {
    if constexpr (kForm.has_groups) {
      const auto* groups = group_scales(product_.weight);
      const int64_t size = groups->dtype == DType::kFloat32 ? 4 : 2;
      const int64_t row_bytes = in_features_ / groups->group_size * size;
      const int64_t bytes = kWidth * row_bytes;
      const int64_t all = num_parts_ * product_.num_rows;
      const auto fetch = [&](const void* numbers) PREPACK_INLINED {
        const auto* from = static_cast<const char*>(numbers) + next_row * row_bytes;
        for (int64_t i = first * bytes / all / kCacheLine * kCacheLine; i < last * bytes / all;
             i += kCacheLine) {
          hwy::Prefetch(from + i);
        }
      };
      fetch(groups->scales);
      if constexpr (kForm.has_minimums) fetch(groups->minimums);
    }
  }

  const RoundedProduct<T>& product_;
  const Weights weights_;
  const int64_t in_features_;
  const int64_t num_blocks_;  // of a row
  const int64_t num_pairs_;   // of blocks
  const int64_t num_parts_;   // of k, as even as they can be
  Scratch scratch_;
  T* panel_;         // [kStreamedBlocks<T>, kPanelBlock / kTogether, kWidth, kTogether]
  float* scales_;    // [panel_groups(num_blocks), kWidth]
  float* minimums_;  // likewise
  float* sums_;      // [num_rows, kWidth], of SwiGLU those of gates and those of ups
};

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
