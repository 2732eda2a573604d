// Weights of 8 bits, multiplied with several rounded rows while they come from memory: for 32
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
#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_panels-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_tile-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose_words-inl.h"
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
template <int64_t kUnit, PanelForm kForm, typename T>
class StreamedBytes {
 public:
  /// @param weight  [out_features, in_features]
  StreamedBytes(const RoundedProduct<T>& product, const int8_t* weight)
      : product_(product),
        weight_(weight),
        in_features_(product.in_features),
        num_blocks_(RoundedRows<T>::num_blocks(product.in_features)),
        num_parts_((num_blocks_ + kStreamedBlocks<T> - 1) / kStreamedBlocks<T>),
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
  static constexpr int64_t kLine = 64;  // of a cache
  static_assert(kPanelBlock == kLine);

  int64_t scales_size() const { return kForm.has_groups ? num_blocks_ * kUnits * kWidth : 0; }
  int64_t sums_size() const {
    return product_.num_rows * kWidth * (product_.num_gates > 0 ? 2 : 1);
  }

  /// @param next_row  where the next panel's weights begin
  void multiply_features(const WeightPanel& of, int64_t next_row, float* sums) {
    int64_t features[kWidth];  // past the last it is computed again
    for (int64_t i = 0; i < kWidth; ++i) features[i] = of.row + std::min(i, of.count - 1);
    if constexpr (kForm.has_groups) {
      const auto* groups = group_scales(product_.weight);
      const auto spread = [&](const void* numbers, float* to) HWY_ATTR {
        spread_scales(*groups, numbers, in_features_, features, kUnit, num_blocks_ * kUnits, to);
      };
      spread(groups->scales, scales_);
      if (kForm.has_minimums) spread(groups->minimums, minimums_);
    }
    for (int64_t part = 0; part < num_parts_; ++part) {
      const int64_t size = part_begin(part + 1) - part_begin(part);
      for (int64_t b = 0; b < size; ++b) {
        fill_block(features, part_begin(part) + b, panel_ + b * kPanelBlock * kWidth);
      }
      multiply_panel(of.row, next_row, part, sums);
    }
  }

  /// Of a part of k, the first block.
  int64_t part_begin(int64_t part) const { return part * num_blocks_ / num_parts_; }

  /// @param to  [kPanelBlock / kTogether, kWidth, kTogether]
  void fill_block(const int64_t* features, int64_t block, T* to) const {
    constexpr int64_t kNumbers = kNumWords * kTogether<T>;  // of a vector
    for (int64_t i = 0; i < kPanelBlock; i += kNumbers, to += kNumbers * kWidth) {
      const int64_t k = block * kPanelBlock + i;
      const int64_t rest = std::clamp<int64_t>(in_features_ - k, 0, kNumbers);
      for (int64_t f = 0; f < kWidth; f += kNumWords) {
        WordVec words[kNumWords];
        inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
          words[j] = load_words(weight_ + features[f + j] * in_features_ + k, rest);
        });
        transpose_words(words);
        inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
          hn::StoreU(words[j], Words(),
                     reinterpret_cast<uint32_t*>(to + (j * kWidth + f) * kTogether<T>));
        });
      }
    }
  }

  /// A vector of T. What is not there is zero.
  static HWY_INLINE WordVec load_words(const int8_t* from, int64_t count) {
    const hn::Rebind<int8_t, hn::Repartition<T, Words>> d;
    const auto values = hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, from);
    if constexpr (sizeof(T) == 1) {
      const auto bias = hn::Set(d, kForm.is_byte && ByteSums<Floats>::kIsBiased ? -128 : 0);
      return hn::BitCast(Words(), hn::Xor(values, bias));
    } else {
      return hn::BitCast(Words(), hn::PromoteTo(hn::Repartition<T, Words>(), values));
    }
  }

  void multiply_panel(int64_t weight_row, int64_t next_row, int64_t part, float* sums) {
    const int64_t num_rows = product_.num_rows;
    const int64_t block = part_begin(part);
    const int64_t size = part_begin(part + 1) - block;
    const bool is_last = part + 1 == num_parts_;
    const int64_t next_block = is_last ? 0 : block + size;
    const int64_t next_size = part_begin(is_last ? 1 : part + 2) - next_block;
    const int8_t* next =
        weight_ + (is_last ? next_row : weight_row) * in_features_ + next_block * kPanelBlock;
    const int64_t panel_units = block * kUnits * kWidth;
    const RoundedPanel<T> panel = {panel_, kForm.has_groups ? scales_ + panel_units : nullptr,
                                   kForm.has_minimums ? minimums_ + panel_units : nullptr};
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
      const auto fetch = [=, this](int64_t b) HWY_ATTR {
        for (int64_t line = b * next_size / size; line < (b + 1) * next_size / size; ++line) {
          for (int64_t f = first; f < last; ++f) {
            hwy::Prefetch(next + f * in_features_ + line * kLine);
          }
        }
      };
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

  const RoundedProduct<T>& product_;
  const int8_t* weight_;
  const int64_t in_features_;
  const int64_t num_blocks_;  // of a row
  const int64_t num_parts_;   // of k, as even as they can be
  Scratch scratch_;
  T* panel_;         // [kStreamedBlocks<T>, kPanelBlock / kTogether, kWidth, kTogether]
  float* scales_;    // [num_units, kWidth]
  float* minimums_;  // likewise
  float* sums_;      // [num_rows, kWidth], of SwiGLU those of gates and those of ups
};

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
