#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "prepack/dtype.h"
#include "prepack/slot_run.h"

namespace prepack {

/// Rows of numbers in memory that are read soon, `stride` elements from one to the next.
struct RowsToRead {
  const void* first = nullptr;
  int64_t stride = 0;
  int64_t num_rows = 0;
};

/// What attending to a block begins with reading. Rows of queries are of `group` heads.
struct FirstReads {
  RowsToRead keys;
  RowsToRead values;
  RowsToRead queries;
};

/// Consecutive queries of one sequence, in the `group` heads that share one key head. Query i
/// attends to the last `window` of the keys [0, num_keys - num_queries + i]. Keys are counted along
/// the runs of slots that they lie in. Strides are in elements.
struct AttentionBlock {
  DType dtype;          // of queries, keys, values and out
  const void* queries;  // [num_queries, group, head_dim], query_stride from query to query
  const void* keys;     // [num_slots, head_dim], key_stride from slot to slot
  const void* values;   // [num_slots, head_dim], value_stride
  void* out;            // [num_queries, group, head_dim], out_stride
  int64_t query_stride;
  int64_t key_stride;
  int64_t value_stride;
  int64_t out_stride;
  std::span<const SlotRun> runs;  // where the keys lie: num_keys or more
  int64_t num_queries;            // at most num_keys
  int64_t num_keys;
  int64_t group;
  int64_t head_dim;
  int64_t window;  // at least 1; blocks of keys that no query's window reaches are not read
  // Of the block that the thread attends to next: fetched from memory while this one is computed.
  FirstReads next{};
};

/// The last key that a row attends to. A row is one query in one head; the heads of a query are
/// next to each other.
inline int64_t last_key(const AttentionBlock& block, int64_t row) {
  return block.num_keys - block.num_queries + row / block.group;
}

/// The first key within `window` of the last one.
inline int64_t first_key_of(int64_t last_key, int64_t window) {
  return std::max<int64_t>(last_key + 1 - window, 0);
}

inline int64_t first_key(const AttentionBlock& block, int64_t row) {
  return first_key_of(last_key(block, row), block.window);
}

/// Rows that are cheaper to stream than to lay out as a panel.
inline constexpr int64_t kMostStreamedRows = 8;

inline bool is_streamed(const AttentionBlock& block) {
  return block.num_queries * block.group <= kMostStreamedRows;
}

/// softmax(queries keys^T / sqrt(head_dim)) values, computed in float32, of a block with one
/// stretch of keys, see num_stretches. Of many rows of bfloat16, where a CPU multiplies pairs of it
/// (has_bfloat16_dot_products), the softmax is rounded to it too. Allocates nothing once the thread
/// has attended to a block as large. A query's result depends on nothing but its keys, as
/// long as all numbers are finite, and on whether its block is streamed, or a lone query's.
/// Ref: Milakov and Gimelshein (arXiv:1805.02867); FlashAttention (arXiv:2205.14135)
void attend_block(const AttentionBlock& block);

// Attending to a lone query, or to so few that they are streamed, takes as long as their keys take
// to be read. These are cut into stretches, so that several threads can do it, each leaving a
// partial result: for every row the largest score, the sum of the weights relative to it, and the
// values times their weights. Stretches begin at multiples of their length, counted from the
// sequence's first key: what a query gets depends on its keys alone, not on other queries,
// sequences or threads.
// Ref: Dao et al., Flash-Decoding for long-context inference (2023)

/// Keys of a stretch: few enough for threads to share 500 keys evenly, and so many that partial
/// results cost a lone thread no more than 3 %.
inline constexpr int64_t kStretchKeys = 256;

/// Consecutive keys of a sequence, by their numbers.
struct KeyStretch {
  int64_t begin;
  int64_t end;
};

/// How many stretches hold keys that the block's queries attend to. 1 if there are more queries,
/// whose keys are not cut: attend_block is for one stretch, attend_stretch for several.
int64_t num_stretches(const AttentionBlock& block);

/// @param number  from 0, of those that the block's queries attend to
KeyStretch key_stretch(const AttentionBlock& block, int64_t number);

/// Keys that streamed rows attend to together: their scores and values stay in the first cache.
/// Such blocks begin at multiples of it, whatever the stretch and the window are.
inline constexpr int64_t kStreamedKeys = 64;
static_assert(kStretchKeys % kStreamedKeys == 0);

/// The first key of a stretch that streamed rows read.
inline int64_t first_streamed_key(const AttentionBlock& block, KeyStretch stretch) {
  return std::max(first_key(block, 0) / kStreamedKeys * kStreamedKeys, stretch.begin);
}

/// Keys or values of the keys [begin, end), as far as they lie in the run of the first of them.
/// @param side  the block's keys or values
RowsToRead leading_rows(const AttentionBlock& block, const void* side, int64_t stride,
                        int64_t begin, int64_t end);

/// Of a stretch: `next` of the block before. A streamed one fetches its values, and its few queries
/// need not be fetched.
FirstReads first_reads(const AttentionBlock& block, int64_t number);

/// Floats of one stretch's partial result: whole cache lines, because threads write to neighbours.
int64_t partial_size(const AttentionBlock& block);

/// Attends to one stretch of several.
/// @param partial  [partial_size], at the start of a cache line
void attend_stretch(const AttentionBlock& block, int64_t number, float* partial);

/// Writes the block's result, from the partial results of all stretches, in their order.
/// @param partials  [num_stretches, partial_size]
void combine_stretches(const AttentionBlock& block, const float* partials);

}  // namespace prepack
