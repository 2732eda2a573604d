#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "prepack/attention.h"

namespace prepack {

/// Some of a sequence's queries, in all heads.
struct QueryPart {
  size_t sequence;
  int64_t first_query;  // in the batch
  int64_t num_queries;
  int64_t num_keys;       // up to the last query's own
  int64_t num_stretches;  // of these keys
  int64_t first_partial;  // of several stretches: where their partial results begin, in floats
  int64_t partial_size;   // of one stretch and key head, in floats
};

/// What a thread attends to at a time, in one key head after the other: a stretch of a part's keys.
struct AttentionTask {
  size_t part;
  int64_t stretch;
  double cost;  // multiplications per key head
};

/// What is to be computed for a varlen batch. Where it is cut depends on nothing but a sequence's
/// own lengths and the heads, because a result may depend on it.
struct AttentionWork {
  std::vector<QueryPart> parts;
  std::vector<AttentionTask> tasks;  // the most expensive first
  int64_t num_partial_floats = 0;    // of all parts' partial results
  double cost = 0;                   // multiplications of all tasks and key heads
};

/// @param group  query heads per key head
AttentionWork cut_work(const VarlenAttention& spec, int64_t num_kv_heads, int64_t group,
                       int64_t head_dim);

}  // namespace prepack
