// Attention of many queries: panels of rows, see panel_products-inl.h, that attend to a block of
// keys at a time. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ATTENTION_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#undef PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#else
#define PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/attention_rows-inl.h"
#include "kernels/attention_stretches-inl.h"
#include "kernels/panel_matrix-inl.h"
#include "kernels/panel_numbers-inl.h"
#include "kernels/panel_products-inl.h"
#include "kernels/rows_ahead-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// The rows of a block of queries as panels.
template <typename Numbers>
class Panels {
 public:
  /// Floats that the panels take from the scratch memory.
  static int64_t scratch_size(const AttentionBlock& block) {
    const Panels sizes(block);
    return sizes.num_panels_ * (2 * sizes.panel_size_ + 3 * sizes.width_) + sizes.panel_size_;
  }
  static constexpr int64_t kScratchParts = 6;

  Panels(const AttentionBlock& block, KeyStretch stretch, Scratch& scratch) : Panels(block) {
    stretch_ = stretch;
    queries_ = scratch.take(num_panels_ * panel_size_);
    outputs_ = scratch.take(num_panels_ * panel_size_);
    maxima_ = scratch.take(num_panels_ * width_);
    totals_ = scratch.take(num_panels_ * width_);
    last_keys_ = scratch.take(num_panels_ * width_);
    rows_ = scratch.take(panel_size_);
    for (int64_t i = 0; i < num_panels_; ++i) pack(i);
  }

  int64_t size() const { return num_panels_; }

  /// Whether one vector holds all rows of a panel; the last one's may be so few.
  bool is_narrow(int64_t i) const { return num_rows_ - i * width_ <= num_lanes(); }

  Panel operator[](int64_t i) const {
    const int64_t last_row = std::min((i + 1) * width_, num_rows_) - 1;
    return {.queries = queries_ + i * panel_size_,
            .outputs = outputs_ + i * panel_size_,
            .maxima = maxima_ + i * width_,
            .totals = totals_ + i * width_,
            .last_keys = last_keys_ + i * width_,
            .first_key = std::max(first_key(block_, i * width_), stretch_.begin),
            .last_key = std::min(last_key(block_, last_row), stretch_.end - 1),
            .window = block_.window};
  }

  /// @param partial  null: to where the block says
  void store_outputs(float* partial) {
    for (int64_t i = 0; i < num_panels_; ++i) unpack(i, partial);
  }

 private:
  using T = typename Numbers::Stored;

  explicit Panels(const AttentionBlock& block)
      : block_(block),
        num_rows_(block.num_queries * block.group),
        width_(kPanelVectors * num_lanes()),
        num_panels_((num_rows_ + width_ - 1) / width_),
        stride_(round_up(block.head_dim, num_lanes())),
        panel_size_(width_ * stride_) {}

  int64_t width(int64_t i) const { return is_narrow(i) ? num_lanes() : width_; }

  void pack(int64_t i) {
    const int64_t stride = Numbers::stride_of(block_.head_dim);
    for (int64_t r = 0; r < width(i); ++r) {
      // Lanes without a row repeat the last one.
      const int64_t row = std::min(i * width_ + r, num_rows_ - 1);
      Numbers::load_query(block_, row, rows_ + r * stride);
      last_keys_[i * width_ + r] = static_cast<float>(last_key(block_, row));
    }
    transpose(rows_, width(i), stride, queries_ + i * panel_size_);
  }

  void unpack(int64_t i, float* partial) {
    const auto panel = (*this)[i];
    transpose(panel.outputs, stride_, width(i), rows_);
    for (int64_t r = 0; r < width(i) && i * width_ + r < num_rows_; ++r) {
      finish_row<T>(block_, i * width_ + r, rows_ + r * stride_, panel.maxima[r], panel.totals[r],
                    partial);
    }
  }

  const AttentionBlock& block_;
  KeyStretch stretch_{};
  int64_t num_rows_;
  int64_t width_;  // rows of a whole panel
  int64_t num_panels_;
  int64_t stride_;      // head_dim, up to whole vectors
  int64_t panel_size_;  // floats of a whole panel
  float* queries_;      // [num_panels, stride, width], of which Numbers may need fewer
  float* outputs_;      // [num_panels, stride, width]
  float* maxima_;       // [num_panels, width]
  float* totals_;       // [num_panels, width]
  float* last_keys_;    // [num_panels, width]
  float* rows_;         // [width, stride]
};

/// Keys of a block: they and their values should stay in the cache while all panels read them.
template <typename Numbers>
int64_t key_block_size(int64_t head_dim) {
  return std::max(round_up(8192 / head_dim, Numbers::kTileKeys), Numbers::kTileKeys);
}

/// Keys of a sequence and their values, a block of them at a time.
template <typename Numbers>
class KeyBlocks {
 public:
  static constexpr int64_t kScratchParts = Numbers::kUsesMatrixUnit ? 3 : 2;

  /// Floats that the blocks take from the scratch memory.
  static int64_t scratch_size(int64_t block_size, int64_t head_dim) {
    return block_size * Numbers::stride_of(head_dim) + (kScratchParts - 1) *
                                                           Numbers::num_lanes_of(block_size) *
                                                           round_up(head_dim, num_lanes());
  }

  KeyBlocks(const AttentionBlock& block, int64_t block_size, Scratch& scratch)
      : block_(block),
        key_stride_(Numbers::stride_of(block.head_dim)),
        value_stride_(round_up(block.head_dim, num_lanes())),
        keys_(scratch.take(block_size * key_stride_)),
        values_(scratch.take(Numbers::num_lanes_of(block_size) * value_stride_)),
        transposed_(Numbers::kUsesMatrixUnit
                        ? scratch.take(Numbers::num_lanes_of(block_size) * value_stride_)
                        : nullptr) {}

  /// The keys [first, first + num_keys), until others are loaded.
  KeyBlock load(int64_t first, int64_t num_keys) {
    using T = typename Numbers::Stored;
    const int64_t head_dim = block_.head_dim;
    for_each_run(block_, first, num_keys, [&](int64_t slot, int64_t place, int64_t size) HWY_ATTR {
      const T* key = static_cast<const T*>(block_.keys) + slot * block_.key_stride;
      const T* value = static_cast<const T*>(block_.values) + slot * block_.value_stride;
      for (int64_t i = place; i < place + size; ++i) {
        Numbers::load_key(key, head_dim, keys_ + i * key_stride_);
        Numbers::load_value(value, head_dim, i, value_stride_, values_);
        key += block_.key_stride;
        value += block_.value_stride;
      }
    });
    if constexpr (!Numbers::kUsesMatrixUnit) {
      return {keys_, values_, first, num_keys, head_dim, key_stride_, value_stride_};
    } else {
      const int64_t num_pairs = round_up(num_keys, Numbers::kTileKeys) / Numbers::kTogether;
      std::fill(values_ + Numbers::num_lanes_of(num_keys) * value_stride_,
                values_ + num_pairs * value_stride_, 0.0F);
      transpose(values_, num_pairs, value_stride_, transposed_);
      return {keys_, transposed_, first, num_keys, head_dim, key_stride_, num_pairs};
    }
  }

 private:
  const AttentionBlock& block_;
  const int64_t key_stride_;
  const int64_t value_stride_;
  float* keys_;
  float* values_;
  float* transposed_;  // values, for a matrix unit
};

/// What is read after the keys before `end`: the stretch's next block, or the next stretch.
template <typename T>
Fetch<T> fetch_behind(const AttentionBlock& block, KeyStretch stretch, int64_t end,
                      int64_t block_size) {
  Fetch<T> fetch;
  const auto add = [&](const RowsToRead& rows, int64_t most_rows, int64_t size) {
    fetch.add(rows_ahead<T>(rows, most_rows), size);
  };
  const auto leading = [&](const void* side, int64_t stride) {
    return leading_rows(block, side, stride, end, stretch.end);
  };
  const bool is_last = end >= stretch.end;
  const auto& next = block.next;
  add(is_last ? next.keys : leading(block.keys, block.key_stride), block_size, block.head_dim);
  add(is_last ? next.values : leading(block.values, block.value_stride), block_size,
      block.head_dim);
  if (is_last) add(next.queries, next.queries.num_rows, block.group * block.head_dim);
  return fetch;
}

template <typename Numbers>
void attend_panels_of(const AttentionBlock& block, KeyStretch stretch, float* partial) {
  const int64_t head_dim = block.head_dim;
  const int64_t block_size = std::min(key_block_size<Numbers>(head_dim),
                                      round_up(stretch.end - stretch.begin, Numbers::kTileKeys));
  const int64_t scores_size = block_size * kPanelVectors * num_lanes();
  Scratch scratch(Panels<Numbers>::scratch_size(block) + scores_size +
                      KeyBlocks<Numbers>::scratch_size(block_size, head_dim),
                  Panels<Numbers>::kScratchParts + 1 + KeyBlocks<Numbers>::kScratchParts);
  Panels<Numbers> panels(block, stretch, scratch);
  float* scores = scratch.take(scores_size);
  KeyBlocks<Numbers> key_blocks(block, block_size, scratch);

  // Blocks begin at the same keys whatever the window and the other queries are, because a result
  // may depend on where they do.
  const int64_t num_before = std::max<int64_t>(first_key(block, 0) - stretch.begin, 0);
  const int64_t first_block = stretch.begin + num_before / block_size * block_size;
  for (int64_t first = first_block; first < stretch.end; first += block_size) {
    const int64_t num_keys = std::min(block_size, stretch.end - first);
    const auto key_block = key_blocks.load(first, num_keys);
    auto fetch = fetch_behind<typename Numbers::Stored>(block, stretch, first + num_keys,
                                                        key_block_size<Numbers>(head_dim));
    int64_t num_tiles = 0;
    for (int64_t i = 0; i < panels.size(); ++i) {
      const auto range = keys_of<Numbers>(key_block, panels[i]);
      const int64_t num_keys_of_panel = std::max<int64_t>(range.end - range.begin, 0);
      num_tiles += round_up(num_keys_of_panel, Numbers::kTileKeys) / Numbers::kTileKeys;
    }
    fetch.share(std::max<int64_t>(num_tiles, 1));
    for (int64_t i = 0; i < panels.size(); ++i) {
      const auto panel = panels[i];
      if (panel.last_key < first || panel.first_key >= first + num_keys) continue;
      if (panels.is_narrow(i)) {
        attend_panel<Numbers, 1>(key_block, panel, fetch, scores);
      } else {
        attend_panel<Numbers, kPanelVectors>(key_block, panel, fetch, scores);
      }
    }
  }
  panels.store_outputs(partial);
}

/// @param stretch  holds keys of every row
/// @param partial  where the result goes; null: to where the block says
template <typename T>
void attend_panels(const AttentionBlock& block, KeyStretch stretch, float* partial) {
  if constexpr (std::is_same_v<T, hwy::bfloat16_t>) {
#if PREPACK_HAS_PANEL_MATRIX
    if (has_pair_products() && has_matrix_unit() && MatrixNumbers::fits(block.head_dim)) {
      const MatrixTiles tiles;
      return attend_panels_of<MatrixNumbers>(block, stretch, partial);
    }
#endif
    if (has_pair_products()) return attend_panels_of<PairNumbers>(block, stretch, partial);
  }
  attend_panels_of<WidenedNumbers<T>>(block, stretch, partial);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
