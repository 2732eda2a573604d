#pragma once

#include <cstdint>
#include <span>

#include "prepack/dtype.h"
#include "prepack/slot_run.h"

namespace prepack {

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
};

/// softmax(queries keys^T / sqrt(head_dim)) values, computed in float32. Allocates nothing once the
/// thread has attended to a block as large. A query's result depends on nothing but its keys and
/// whether the block has few rows (queries times group); those of a few are streamed.
/// Ref: Milakov and Gimelshein (arXiv:1805.02867); FlashAttention (arXiv:2205.14135)
void attend_block(const AttentionBlock& block);

}  // namespace prepack
