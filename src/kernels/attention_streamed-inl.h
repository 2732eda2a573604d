// Attention of few queries, as in decoding: keys and values are read once, where they lie, because
// reading them is what takes the time. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ATTENTION_STREAMED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ATTENTION_STREAMED_INL_H_
#undef PREPACK_KERNELS_ATTENTION_STREAMED_INL_H_
#else
#define PREPACK_KERNELS_ATTENTION_STREAMED_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/attention_rows-inl.h"
#include "kernels/attention_stretches-inl.h"
#include "kernels/exp2-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/rows_ahead-inl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows that share each load of a key or value: more would leave no registers for their sums.
constexpr int kStreamedRows = HWY_TARGET <= HWY_AVX3 ? 4 : 3;

/// From one row's scores to the next's. Scores are computed four at a time, and where keys lie in
/// several runs, up to three are written behind the last.
constexpr int64_t kScoreStride = kStreamedKeys + 16;

/// Scores of four keys in kRows rows: scores[row][0..3]. Fetches up to four rows meanwhile.
template <int kRows, typename T>
HWY_INLINE void score_four_keys(const T* const (&keys)[4], const RowsAhead<T>& ahead,
                                int64_t head_dim, const float* queries, int64_t stride,
                                float* scores) {
  const int64_t lanes = num_lanes();
  FloatVec sums[kRows][4];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(Floats());
  }
  const auto add = [&](int64_t dim, const auto& load) HWY_ATTR {
    FloatVec query[kRows];
    HWY_UNROLL(4) for (int row = 0; row < kRows; ++row) {
      query[row] = load_floats(queries + row * stride + dim);
    }
    HWY_UNROLL(4) for (int i = 0; i < 4; ++i) {
      const auto key = load(keys[i] + dim);
      HWY_UNROLL(4) for (int row = 0; row < kRows; ++row) {
        sums[row][i] = hn::MulAdd(key, query[row], sums[row][i]);
      }
    }
  };
  const auto fetch = [&](int64_t dim) HWY_ATTR {
    const T* row = ahead.first + dim;
    for (int64_t i = 0; i < ahead.num_rows; ++i, row += ahead.stride) hwy::Prefetch(row);
  };
  int64_t dim = 0;
  for (; dim + lanes <= head_dim; dim += lanes) {
    if (dim % kLineNumbers<T> == 0) fetch(dim);
    add(dim, [](const T* from) HWY_ATTR { return load_floats(from); });
  }
  if (dim < head_dim)
    add(dim, [&](const T* from) HWY_ATTR { return load_first(from, head_dim - dim); });
  for (int row = 0; row < kRows; ++row) store_lane_sums(sums[row], scores + row * kScoreStride);
}

/// Adds the values, times their weights, to kVectors vectors of each row's output. Fetches as many
/// vectors of the rows ahead meanwhile.
template <int kRows, int kVectors, typename T, typename Load>
HWY_INLINE void add_values(const T* values, int64_t value_stride, int64_t num_keys,
                           const RowsAhead<T>& ahead, const float* weights, const float* shrink,
                           float* outputs, int64_t stride, const Load& load) {
  const Floats d;
  const int64_t lanes = num_lanes();
  FloatVec sums[kRows][kVectors];
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      sums[row][v] =
          hn::Mul(hn::Set(d, shrink[row]), load_floats(outputs + row * stride + v * lanes));
    }
  }
  const T* fetched = ahead.first;
  int64_t num_left = ahead.num_rows;
  const int64_t num_at_a_time = (num_left + num_keys - 1) / num_keys;
  for (int64_t key = 0; key < num_keys; ++key, values += value_stride) {
    for (int64_t i = std::min(num_left, num_at_a_time); i > 0; --i) {
      HWY_UNROLL(8) for (int v = 0; v < kVectors; ++v) {
        if (v * lanes % kLineNumbers<T> == 0) hwy::Prefetch(fetched + v * lanes);
      }
      fetched += ahead.stride;
      --num_left;
    }
    FloatVec weight[kRows];
    HWY_UNROLL(4) for (int row = 0; row < kRows; ++row) {
      weight[row] = hn::Set(d, weights[row * kScoreStride + key]);
    }
    HWY_UNROLL(8) for (int v = 0; v < kVectors; ++v) {
      const auto value = load(values + v * lanes);
      HWY_UNROLL(4) for (int row = 0; row < kRows; ++row) {
        sums[row][v] = hn::MulAdd(value, weight[row], sums[row][v]);
      }
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      store_floats(sums[row][v], outputs + row * stride + v * lanes);
    }
  }
}

/// One row's scores, block by block, become weights.
struct StreamedSoftmax {
  float maximum = kLeastMaximum;
  float total = 0;

  /// @param begin, end  the keys of the block that the row attends to; either may lie outside. The
  ///                    weights of the others are 0
  /// @return what the output of the blocks before is to be multiplied by
  float add(float* scores, int64_t begin, int64_t end) {
    const Floats d;
    const int64_t lanes = num_lanes();
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    std::fill(scores, scores + std::clamp<int64_t>(begin, 0, kStreamedKeys), kHidden);
    std::fill(scores + std::clamp<int64_t>(end, 0, kStreamedKeys), scores + kStreamedKeys, kHidden);
    auto maxima = hn::Set(d, maximum);
    for (int64_t i = 0; i < kStreamedKeys; i += lanes) {
      maxima = hn::Max(maxima, load_floats(scores + i));
    }
    const auto new_maximum = hn::MaxOfLanes(d, maxima);
    const float shrink = hn::GetLane(exp2_of_negative(hn::Sub(hn::Set(d, maximum), new_maximum)));
    auto totals = hn::Zero(d);
    for (int64_t i = 0; i < kStreamedKeys; i += lanes) {
      const auto weight = exp2_of_negative(hn::Sub(load_floats(scores + i), new_maximum));
      store_floats(weight, scores + i);
      totals = hn::Add(totals, weight);
    }
    maximum = hn::GetLane(new_maximum);
    total = total * shrink + hn::GetLane(hn::SumOfLanes(d, totals));
    return shrink;
  }
};

/// @param slot            of the first of the keys, which lie in one run
/// @param fetches_values  meanwhile, of the same keys
template <int kRows, typename T>
void score_keys(const AttentionBlock& block, int64_t slot, int64_t num_keys, bool fetches_values,
                const float* queries, int64_t stride, float* scores) {
  const T* keys = static_cast<const T*>(block.keys) + slot * block.key_stride;
  const T* values = static_cast<const T*>(block.values) + slot * block.value_stride;
  for (int64_t key = 0; key < num_keys; key += 4) {
    // Behind the last key stands the last one again; its scores are not used.
    const auto at = [&](int64_t i) HWY_ATTR {
      return keys + std::min(key + i, num_keys - 1) * block.key_stride;
    };
    const T* const four[4] = {at(0), at(1), at(2), at(3)};
    const RowsAhead<T> ahead = {values + key * block.value_stride, block.value_stride,
                                fetches_values ? std::min<int64_t>(num_keys - key, 4) : 0};
    score_four_keys<kRows>(four, ahead, block.head_dim, queries, stride, scores + key);
  }
}

/// @param slot  where the first of these keys lies
template <int kRows, typename T>
void add_weighted_values(const AttentionBlock& block, int64_t slot, int64_t num_keys,
                         const RowsAhead<T>& ahead, const float* weights, const float* shrink,
                         float* outputs, int64_t stride) {
  const int64_t lanes = num_lanes();
  const T* values = static_cast<const T*>(block.values) + slot * block.value_stride;
  const auto load = [](const T* from) HWY_ATTR { return load_floats(from); };
  const auto add = [&](int64_t dim, auto num_vectors, const auto& load_value) HWY_ATTR {
    auto vectors_ahead = ahead;
    if (ahead.num_rows > 0) vectors_ahead.first += dim;
    add_values<kRows, decltype(num_vectors)::value>(values + dim, block.value_stride, num_keys,
                                                    vectors_ahead, weights, shrink, outputs + dim,
                                                    stride, load_value);
  };
  int64_t dim = 0;
  const auto add_all = [&](auto num_vectors) HWY_ATTR {
    const int64_t size = num_vectors * lanes;
    for (; dim + size <= block.head_dim; dim += size) add(dim, num_vectors, load);
  };
  if constexpr (kRows == 1) add_all(std::integral_constant<int, 8>());
  add_all(std::integral_constant<int, 4>());
  add_all(std::integral_constant<int, 1>());
  if (dim < block.head_dim) {
    add(dim, std::integral_constant<int, 1>(),
        [&](const T* from) HWY_ATTR { return load_first(from, block.head_dim - dim); });
  }
}

/// Those rows that are to be fetched during keys [begin, begin + size) of num_keys.
template <typename T>
RowsAhead<T> share_of_rows(const RowsAhead<T>& rows, int64_t begin, int64_t size,
                           int64_t num_keys) {
  const int64_t first = rows.num_rows * begin / num_keys;
  const int64_t end = rows.num_rows * (begin + size) / num_keys;
  return {rows.first + first * rows.stride, rows.stride, end - first};
}

/// @param partial  where the result goes; null: to where the block says
template <typename T>
void attend_streamed(const AttentionBlock& block, KeyStretch stretch, float* partial) {
  const int64_t stride = round_up(block.head_dim, num_lanes());
  const int64_t num_rows = block.num_queries * block.group;
  Scratch scratch(num_rows * (2 * stride + kScoreStride), 3);
  float* queries = scratch.take(num_rows * stride);
  float* outputs = scratch.take(num_rows * stride);
  float* scores = scratch.take(num_rows * kScoreStride);
  for (int64_t row = 0; row < num_rows; ++row) {
    load_query<T>(block, row, queries + row * stride);
  }
  std::fill(outputs, outputs + num_rows * stride, 0.0F);

  StreamedSoftmax softmax[kMostStreamedRows];
  float shrink[kMostStreamedRows];
  for (int64_t first = first_streamed_key(block, stretch); first < stretch.end;
       first += kStreamedKeys) {
    const int64_t num_keys = std::min(kStreamedKeys, stretch.end - first);
    const int64_t end = first + num_keys;
    const auto next_keys = rows_ahead<T>(
        end < stretch.end ? leading_rows(block, block.keys, block.key_stride, end, stretch.end)
                          : block.next.keys,
        kStreamedKeys);
    for (int64_t row = 0; row < num_rows; row += kStreamedRows) {
      with_count<kStreamedRows>(
          std::min<int64_t>(num_rows - row, kStreamedRows), [&](auto count) HWY_ATTR {
            constexpr int kRows = decltype(count)::value;
            const bool fetches = row == 0;  // for the other rows too
            float* row_scores = scores + row * kScoreStride;
            for_each_run(block, first, num_keys,
                         [&](int64_t slot, int64_t place, int64_t size) HWY_ATTR {
                           score_keys<kRows, T>(block, slot, size, fetches, queries + row * stride,
                                                stride, row_scores + place);
                         });
            for (int64_t r = row; r < row + kRows; ++r) {
              shrink[r] = softmax[r].add(scores + r * kScoreStride, first_key(block, r) - first,
                                         last_key(block, r) + 1 - first);
            }
            for_each_run(
                block, first, num_keys, [&](int64_t slot, int64_t place, int64_t size) HWY_ATTR {
                  const auto ahead =
                      fetches ? share_of_rows(next_keys, place, size, num_keys) : RowsAhead<T>{};
                  add_weighted_values<kRows, T>(block, slot, size, ahead, row_scores + place,
                                                shrink + row, outputs + row * stride, stride);
                  std::fill_n(shrink + row, kRows,
                              1.0F);  // the outputs shrink with a block's first run only
                });
          });
    }
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    finish_row<T>(block, row, outputs + row * stride, softmax[row].maximum, softmax[row].total,
                  partial);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
