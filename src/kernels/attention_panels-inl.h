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
//
// Numbers are widened to float32; or, where a CPU multiplies pairs of bfloat16, pairs of them stand
// where one number would: two dimensions of a key or query, two keys' values or weights.
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
#include "kernels/panel_numbers-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows of a tile: as many sums of two vectors each as the registers hold, next to the operands.
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
constexpr int kPanelVectors = 2;

/// A tile of a product: kRows rows of a times kVectors vectors of b, `num_steps` terms each.
template <typename Products, int kRows, int kVectors>
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
          sums[row][v] = Products::add(factor, factors[v], sums[row][v]);
        }
      }
    }
  }
};

/// A block of keys and their values, as Numbers has them.
struct KeyBlock {
  const float* keys;    // [num_keys, key_stride], and zeros up to a multiple of kTileRows
  const float* values;  // [num_keys / kTogether, value_stride]
  int64_t first;        // number of the first key in the sequence
  int64_t num_keys;
  int64_t head_dim;
  int64_t key_stride;
  int64_t value_stride;
};

/// One or two vectors of rows, and what is known of them after some blocks of keys.
struct Panel {
  const float* queries;    // [head_dim / kTogether, width]
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
template <typename Numbers, int kVectors>
void compute_scores(const KeyBlock& block, const Panel& panel, KeyRange range, float* scores) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  const float scale = Numbers::score_scale(block.head_dim);
  for (int64_t key = range.begin; key < range.end; key += kTileRows) {
    Tile<typename Numbers::Products, kTileRows, kVectors> tile;
    HWY_UNROLL(12) for (int row = 0; row < kTileRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) tile.sums[row][v] = hn::Zero(d);
    }
    tile.add_product(block.keys + key * block.key_stride, block.key_stride, 1, panel.queries, width,
                     Numbers::num_lanes_of(block.head_dim));
    HWY_UNROLL(12) for (int row = 0; row < kTileRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        const auto score = Numbers::scaled(tile.sums[row][v], scale);
        hn::StoreU(score, d, scores + (key + row) * width + v * lanes);
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
/// @param scores  [range.end, width]; weights [range.end / kTogether, width] in their place
/// @return by `shrink`: what outputs of the blocks before are to be multiplied by
template <typename Numbers, int kVectors>
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
    const auto weight_of = [&](int64_t key) HWY_ATTR {
      return exp2_of_negative(hn::Sub(hn::LoadU(d, column + key * width), maximum));
    };
    total =
        hn::Add(total, Numbers::store_weights(range.begin, range.end, weight_of, width, column));
    hn::StoreU(maximum, d, panel.maxima + v * lanes);
    hn::StoreU(total, d, panel.totals + v * lanes);
  }
}

template <typename Numbers, int kVectors>
void add_outputs(const KeyBlock& block, const Panel& panel, KeyRange range, const float* weights,
                 const FloatVec (&shrink)[kVectors]) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  const bool is_first = is_first_block(block, panel);
  const int64_t first = range.begin / Numbers::kTogether;
  const float* values = block.values + first * block.value_stride;
  const auto add = [&](int64_t dim, auto count) HWY_ATTR {
    constexpr int kRows = decltype(count)::value;
    Tile<typename Numbers::Products, kRows, kVectors> tile;
    float* outputs = panel.outputs + dim * width;
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        tile.sums[row][v] =
            is_first ? hn::Zero(d)
                     : hn::Mul(shrink[v], hn::LoadU(d, outputs + row * width + v * lanes));
      }
    }
    tile.add_product(values + dim, 1, block.value_stride, weights + first * width, width,
                     Numbers::num_lanes_of(range.end - range.begin));
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

template <typename Numbers, int kVectors>
void attend_panel(const KeyBlock& block, const Panel& panel, float* scores) {
  const int64_t first = std::max<int64_t>(panel.first_key - block.first, 0);
  const KeyRange range = {first / kTileRows * kTileRows,
                          std::min(panel.last_key + 1 - block.first, block.num_keys)};
  FloatVec shrink[kVectors];
  compute_scores<Numbers, kVectors>(block, panel, range, scores);
  compute_weights<Numbers, kVectors>(block, panel, range, scores, shrink);
  add_outputs<Numbers, kVectors>(block, panel, range, scores, shrink);
}

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
inline int64_t key_block_size(int64_t head_dim) {
  return std::max<int64_t>(round_up(8192 / head_dim, kTileRows), kTileRows);
}

/// Keys of a sequence and their values, a block of them at a time.
template <typename Numbers>
class KeyBlocks {
 public:
  static constexpr int64_t kScratchParts = 2;

  /// Floats that the blocks take from the scratch memory.
  static int64_t scratch_size(int64_t block_size, int64_t head_dim) {
    return block_size * (Numbers::stride_of(head_dim) + round_up(head_dim, num_lanes()));
  }

  KeyBlocks(const AttentionBlock& block, int64_t block_size, Scratch& scratch)
      : block_(block),
        key_stride_(Numbers::stride_of(block.head_dim)),
        value_stride_(round_up(block.head_dim, num_lanes())),
        keys_(scratch.take(block_size * key_stride_)),
        values_(scratch.take(block_size * value_stride_)) {}

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
    std::fill(keys_ + num_keys * key_stride_, keys_ + round_up(num_keys, kTileRows) * key_stride_,
              0.0F);
    return {keys_, values_, first, num_keys, head_dim, key_stride_, value_stride_};
  }

 private:
  const AttentionBlock& block_;
  const int64_t key_stride_;
  const int64_t value_stride_;
  float* keys_;
  float* values_;
};

template <typename Numbers>
void attend_panels_of(const AttentionBlock& block, KeyStretch stretch, float* partial) {
  const int64_t head_dim = block.head_dim;
  const int64_t block_size =
      std::min(key_block_size(head_dim), round_up(stretch.end - stretch.begin, kTileRows));
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
    for (int64_t i = 0; i < panels.size(); ++i) {
      const auto panel = panels[i];
      if (panel.last_key < first || panel.first_key >= first + num_keys) continue;
      if (panels.is_narrow(i)) {
        attend_panel<Numbers, 1>(key_block, panel, scores);
      } else {
        attend_panel<Numbers, kPanelVectors>(key_block, panel, scores);
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
    if (has_pair_products()) return attend_panels_of<PairNumbers>(block, stretch, partial);
  }
  attend_panels_of<WidenedNumbers<T>>(block, stretch, partial);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
