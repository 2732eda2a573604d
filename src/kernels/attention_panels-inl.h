// Attention of many queries: two matrix products with a softmax between them, a block of keys at a
// time. Included once for each instruction set.
//
// A row is one query in one head. Rows stand side by side in the lanes of vectors, a panel of one
// or two vectors of them, so that everything the softmax does per row needs no lane to look at
// another, and both products are the same: numbers of the keys or values, one by one, times
// vectors of rows.
// clang-format off
//
//   scores[key][row]        = sum over dimension of keys[key][dimension] * queries[dimension][row]
//   outputs[dimension][row] += sum over key of values[key][dimension] * weights[key][row]
// clang-format on
#if defined(PREPACK_KERNELS_ATTENTION_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#undef PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#else
#define PREPACK_KERNELS_ATTENTION_PANELS_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/attention_rows-inl.h"
#include "kernels/attention_stretches-inl.h"
#include "kernels/exp2-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows of a tile: as many sums of two vectors each as the registers hold, next to the operands.
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
constexpr int kPanelVectors = 2;

/// A tile of a product: kRows rows of a times kVectors vectors of b, `num_steps` terms each.
template <int kRows, int kVectors>
struct Tile {
  FloatVec sums[kRows][kVectors];

  /// @param a  [kRows, num_steps], row_stride and step_stride apart
  /// @param b  [num_steps, kVectors vectors], b_stride apart
  HWY_INLINE void add_product(const float* HWY_RESTRICT a, int64_t row_stride, int64_t step_stride,
                              const float* HWY_RESTRICT b, int64_t b_stride, int64_t num_steps) {
    const Floats d;
    const int64_t lanes = num_lanes();
    for (int64_t step = 0; step < num_steps; ++step, a += step_stride, b += b_stride) {
      FloatVec factors[kVectors];
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) factors[v] = hn::LoadU(d, b + v * lanes);
      HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
        const auto factor = hn::Set(d, a[row * row_stride]);
        HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
          sums[row][v] = hn::MulAdd(factor, factors[v], sums[row][v]);
        }
      }
    }
  }
};

/// A block of keys and their values, widened.
struct KeyBlock {
  const float* keys;    // [num_keys, stride], and zeros up to a multiple of kTileRows
  const float* values;  // [num_keys, stride]
  int64_t first;        // number of the first key in the sequence
  int64_t num_keys;
  int64_t head_dim;
  int64_t stride;
};

/// One or two vectors of rows, and what is known of them after some blocks of keys.
struct Panel {
  const float* queries;    // [head_dim, width], times the scale of the scores
  float* outputs;          // [head_dim, width], not yet divided by the totals
  float* maxima;           // [width]: of each row's scores
  float* totals;           // [width]: of each row's weights, relative to its maximum
  const float* last_keys;  // [width]: number of the last key that each row attends to
  int64_t first_key;       // of the stretch, that any of its rows attends to
  int64_t last_key;        // of the stretch, that any of its rows attends to
  int64_t window;
};

/// The keys of a block, by their numbers in it, that rows of a panel attend to.
struct KeyRange {
  int64_t begin;  // a multiple of kTileRows
  int64_t end;
};

/// scores[key][row], of the keys in range and some more, up to a whole tile.
template <int kVectors>
void compute_scores(const KeyBlock& block, const Panel& panel, KeyRange range, float* scores) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  for (int64_t key = range.begin; key < range.end; key += kTileRows) {
    Tile<kTileRows, kVectors> tile;
    HWY_UNROLL(12) for (int row = 0; row < kTileRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) tile.sums[row][v] = hn::Zero(d);
    }
    tile.add_product(block.keys + key * block.stride, block.stride, 1, panel.queries, width,
                     block.head_dim);
    HWY_UNROLL(12) for (int row = 0; row < kTileRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(tile.sums[row][v], d, scores + (key + row) * width + v * lanes);
      }
    }
  }
}

/// Minus infinity for the scores of keys that rows do not attend to.
/// @param first_row  of the vector of rows, in the panel
/// @param column     scores of that vector of rows, `width` from key to key
inline void hide_scores(const KeyBlock& block, const Panel& panel, KeyRange range,
                        int64_t first_row, int64_t width, float* column) {
  const Floats d;
  const auto last_keys = hn::LoadU(d, panel.last_keys + first_row);
  const auto hidden = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto hide = [&](int64_t begin, int64_t end, const auto& is_hidden) HWY_ATTR {
    for (int64_t key = begin; key < end; ++key) {
      float* scores = column + key * width;
      const auto number = hn::Set(d, static_cast<float>(block.first + key));
      hn::StoreU(hn::IfThenElse(is_hidden(number), hidden, hn::LoadU(d, scores)), d, scores);
    }
  };
  const auto last_key_of = [&](int64_t row) {
    return static_cast<int64_t>(panel.last_keys[first_row + row]);
  };
  // Rows are in order: what the last may attend to no row's window has left behind ...
  const int64_t in_all_windows = first_key_of(last_key_of(num_lanes() - 1), panel.window);
  const auto before_window = hn::Sub(last_keys, hn::Set(d, static_cast<float>(panel.window)));
  hide(range.begin, std::min(in_all_windows - block.first, range.end),
       [&](FloatVec number) HWY_ATTR { return hn::Le(number, before_window); });
  // ... and where the first may attend, all may.
  hide(std::max(last_key_of(0) + 1 - block.first, range.begin), range.end,
       [&](FloatVec number) HWY_ATTR { return hn::Gt(number, last_keys); });
}

/// Whether no block before this one holds keys that rows of the panel attend to.
inline bool is_first_block(const KeyBlock& block, const Panel& panel) {
  return panel.first_key >= block.first;
}

/// Scores become weights, relative to the largest score so far; the totals follow.
/// @return by `shrink`: what outputs of the blocks before are to be multiplied by
template <int kVectors>
void compute_weights(const KeyBlock& block, const Panel& panel, KeyRange range, float* scores,
                     FloatVec (&shrink)[kVectors]) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
    float* column = scores + v * lanes;
    hide_scores(block, panel, range, v * lanes, width, column);
    const bool is_first = is_first_block(block, panel);
    const auto old_maximum =
        is_first ? hn::Set(d, kLeastMaximum) : hn::LoadU(d, panel.maxima + v * lanes);
    auto maximum = old_maximum;
    for (int64_t key = range.begin; key < range.end; ++key) {
      maximum = hn::Max(maximum, hn::LoadU(d, column + key * width));
    }
    shrink[v] = exp2_of_negative(hn::Sub(old_maximum, maximum));
    auto total =
        is_first ? hn::Zero(d) : hn::Mul(shrink[v], hn::LoadU(d, panel.totals + v * lanes));
    for (int64_t key = range.begin; key < range.end; ++key) {
      const auto weight = exp2_of_negative(hn::Sub(hn::LoadU(d, column + key * width), maximum));
      hn::StoreU(weight, d, column + key * width);
      total = hn::Add(total, weight);
    }
    hn::StoreU(maximum, d, panel.maxima + v * lanes);
    hn::StoreU(total, d, panel.totals + v * lanes);
  }
}

template <int kVectors>
void add_outputs(const KeyBlock& block, const Panel& panel, KeyRange range, const float* weights,
                 const FloatVec (&shrink)[kVectors]) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  const bool is_first = is_first_block(block, panel);
  const float* values = block.values + range.begin * block.stride;
  const auto add = [&](int64_t dim, auto count) HWY_ATTR {
    constexpr int kRows = decltype(count)::value;
    Tile<kRows, kVectors> tile;
    float* outputs = panel.outputs + dim * width;
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        tile.sums[row][v] =
            is_first ? hn::Zero(d)
                     : hn::Mul(shrink[v], hn::LoadU(d, outputs + row * width + v * lanes));
      }
    }
    tile.add_product(values + dim, 1, block.stride, weights + range.begin * width, width,
                     range.end - range.begin);
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(tile.sums[row][v], d, outputs + row * width + v * lanes);
      }
    }
  };
  int64_t dim = 0;
  for (; dim + kTileRows <= block.head_dim; dim += kTileRows) {
    add(dim, std::integral_constant<int, kTileRows>());
  }
  if (dim < block.head_dim) {
    with_count<kTileRows - 1>(block.head_dim - dim, [&](auto count) HWY_ATTR { add(dim, count); });
  }
}

template <int kVectors>
void attend_panel(const KeyBlock& block, const Panel& panel, float* scores) {
  const int64_t first = std::max<int64_t>(panel.first_key - block.first, 0);
  const KeyRange range = {first / kTileRows * kTileRows,
                          std::min(panel.last_key + 1 - block.first, block.num_keys)};
  FloatVec shrink[kVectors];
  compute_scores<kVectors>(block, panel, range, scores);
  compute_weights<kVectors>(block, panel, range, scores, shrink);
  add_outputs<kVectors>(block, panel, range, scores, shrink);
}

/// [num_rows, head_dim] -> [num_rows, stride] in float32.
template <typename T>
HWY_INLINE void widen_rows(const T* from, int64_t num_rows, int64_t from_stride, int64_t head_dim,
                           float* to, int64_t stride) {
  for (int64_t row = 0; row < num_rows; ++row) {
    widen(from + row * from_stride, head_dim, 1.0F, to + row * stride);
  }
}

/// The rows of a block of queries as panels.
template <typename T>
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
  explicit Panels(const AttentionBlock& block)
      : block_(block),
        num_rows_(block.num_queries * block.group),
        width_(kPanelVectors * num_lanes()),
        num_panels_((num_rows_ + width_ - 1) / width_),
        stride_(round_up(block.head_dim, num_lanes())),
        panel_size_(width_ * stride_) {}

  int64_t width(int64_t i) const { return is_narrow(i) ? num_lanes() : width_; }

  void pack(int64_t i) {
    for (int64_t r = 0; r < width(i); ++r) {
      // Lanes without a row repeat the last one.
      const int64_t row = std::min(i * width_ + r, num_rows_ - 1);
      load_query<T>(block_, row, rows_ + r * stride_);
      last_keys_[i * width_ + r] = static_cast<float>(last_key(block_, row));
    }
    transpose(rows_, width(i), stride_, queries_ + i * panel_size_);
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
  float* queries_;      // [num_panels, stride, width]
  float* outputs_;      // [num_panels, stride, width]
  float* maxima_;       // [num_panels, width]
  float* totals_;       // [num_panels, width]
  float* last_keys_;    // [num_panels, width]
  float* rows_;         // [width, stride]
};

/// Keys of a block: they and their values should stay in the cache while all panels read them.
inline int64_t key_block_size(int64_t head_dim) {
  return std::max<int64_t>(round_up(8192 / head_dim, kTileRows), kTileRows);
}

/// @param stretch  holds keys of every row
/// @param partial  where the result goes; null: to where the block says
template <typename T>
void attend_panels(const AttentionBlock& block, KeyStretch stretch, float* partial) {
  const int64_t head_dim = block.head_dim;
  const int64_t stride = round_up(head_dim, num_lanes());
  const int64_t block_size =
      std::min(key_block_size(head_dim), round_up(stretch.end - stretch.begin, kTileRows));
  const int64_t scores_size = block_size * kPanelVectors * num_lanes();
  const int64_t block_floats = block_size * stride;
  Scratch scratch(Panels<T>::scratch_size(block) + scores_size + 2 * block_floats,
                  Panels<T>::kScratchParts + 3);
  Panels<T> panels(block, stretch, scratch);
  float* scores = scratch.take(scores_size);
  float* keys = scratch.take(block_floats);
  float* values = scratch.take(block_floats);

  // Blocks begin at the same keys whatever the window and the other queries are, because a result
  // may depend on where they do.
  const int64_t num_before = std::max<int64_t>(first_key(block, 0) - stretch.begin, 0);
  const int64_t first_block = stretch.begin + num_before / block_size * block_size;
  for (int64_t first = first_block; first < stretch.end; first += block_size) {
    const int64_t num_keys = std::min(block_size, stretch.end - first);
    for_each_run(block, first, num_keys, [&](int64_t slot, int64_t place, int64_t size) HWY_ATTR {
      widen_rows(static_cast<const T*>(block.keys) + slot * block.key_stride, size,
                 block.key_stride, head_dim, keys + place * stride, stride);
      widen_rows(static_cast<const T*>(block.values) + slot * block.value_stride, size,
                 block.value_stride, head_dim, values + place * stride, stride);
    });
    std::fill(keys + num_keys * stride, keys + round_up(num_keys, kTileRows) * stride, 0.0F);
    const KeyBlock key_block{keys, values, first, num_keys, head_dim, stride};
    for (int64_t i = 0; i < panels.size(); ++i) {
      const auto panel = panels[i];
      if (panel.last_key < first || panel.first_key >= first + num_keys) continue;
      if (panels.is_narrow(i)) {
        attend_panel<1>(key_block, panel, scores);
      } else {
        attend_panel<kPanelVectors>(key_block, panel, scores);
      }
    }
  }
  panels.store_outputs(partial);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
