// A panel of rows attends to a block of keys: two matrix products with a softmax between them.
// Included once for each instruction set.
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
#if defined(PREPACK_KERNELS_PANEL_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_PANEL_PRODUCTS_INL_H_
#undef PREPACK_KERNELS_PANEL_PRODUCTS_INL_H_
#else
#define PREPACK_KERNELS_PANEL_PRODUCTS_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/attention_rows-inl.h"
#include "kernels/exp2-inl.h"
#include "kernels/panel_numbers-inl.h"
#include "kernels/rows_ahead-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

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

/// A block of keys and their values, as Numbers has them. Keys fill whole tiles; those behind the
/// last are arbitrary, and their scores are not used.
struct KeyBlock {
  const float* keys;  // [num_keys, key_stride]
  // [num_keys / kTogether, value_stride]; of MatrixNumbers [head_dim, value_stride]
  const float* values;
  int64_t first;  // number of the first key in the sequence
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
  int64_t begin;  // a multiple of kTileKeys
  int64_t end;
};

/// scores[key][row], not yet scaled, of the keys in range and some more, up to a whole tile, a step
/// of `fetch` each.
template <typename Numbers, int kVectors>
void compute_scores(const KeyBlock& block, const Panel& panel, KeyRange range,
                    Fetch<typename Numbers::Stored>& fetch, float* scores) {
  constexpr int kRows = Numbers::kTileKeys;
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  for (int64_t key = range.begin; key < range.end; key += kRows) {
    fetch.step();
    Tile<typename Numbers::Products, kRows, kVectors> tile;
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) tile.sums[row][v] = hn::Zero(d);
    }
    tile.add_product(block.keys + key * block.key_stride, block.key_stride, 1, panel.queries, width,
                     Numbers::num_lanes_of(block.head_dim));
    HWY_UNROLL(12) for (int row = 0; row < kRows; ++row) {
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
/// @param scores  [range.end, width]; weights [range.end / kTogether, width] in their place
/// @return by `shrink`: what outputs of the blocks before are to be multiplied by
template <typename Numbers, int kVectors>
void compute_weights(const KeyBlock& block, const Panel& panel, KeyRange range, float* scores,
                     FloatVec (&shrink)[kVectors]) {
  const Floats d;
  const int64_t lanes = num_lanes();
  const int64_t width = kVectors * lanes;
  const auto scale = hn::Set(d, score_scale(block.head_dim));
  HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
    float* column = scores + v * lanes;
    hide_scores(block, panel, range, v * lanes, width, column);
    const bool is_first = is_first_block(block, panel);
    const auto old_maximum =
        is_first ? hn::Set(d, kLeastMaximum) : hn::LoadU(d, panel.maxima + v * lanes);
    auto maximum = old_maximum;
    for (int64_t key = range.begin; key < range.end; ++key) {
      auto score = hn::LoadU(d, column + key * width);
      if constexpr (Numbers::kScalesScores) {
        // Stored, so that what is compared and what is subtracted are rounded alike.
        score = hn::Mul(score, scale);
        hn::StoreU(score, d, column + key * width);
      }
      maximum = hn::Max(maximum, score);
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

/// Empty if the block holds no key that a row of the panel attends to.
template <typename Numbers>
KeyRange keys_of(const KeyBlock& block, const Panel& panel) {
  const int64_t first = std::max<int64_t>(panel.first_key - block.first, 0);
  return {first / Numbers::kTileKeys * Numbers::kTileKeys,
          std::min(panel.last_key + 1 - block.first, block.num_keys)};
}

template <typename Numbers, int kVectors>
void attend_panel(const KeyBlock& block, const Panel& panel, Fetch<typename Numbers::Stored>& fetch,
                  float* scores) {
  const auto range = keys_of<Numbers>(block, panel);
  FloatVec shrink[kVectors];
  if constexpr (Numbers::kUsesMatrixUnit) {
    Numbers::template compute_scores<kVectors>(block, panel, range, fetch, scores);
    compute_weights<Numbers, kVectors>(block, panel, range, scores, shrink);
    Numbers::template add_outputs<kVectors>(block, panel, range, scores, shrink);
  } else {
    compute_scores<Numbers, kVectors>(block, panel, range, fetch, scores);
    compute_weights<Numbers, kVectors>(block, panel, range, scores, shrink);
    add_outputs<Numbers, kVectors>(block, panel, range, scores, shrink);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
