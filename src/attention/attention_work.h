#pragma once

#include <atomic>
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
  double cost;           // multiplications per key head
  double cost_left = 0;  // of this task and those behind it
};

/// Consecutive units of work: unit i is task i / num_kv_heads in key head i % num_kv_heads.
struct AttentionUnits {
  int64_t begin;
  int64_t end;
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

/// Hands the units of work out to threads, each as often as it is done with what it had. A thread
/// gets several at a time, so that it knows what it will read next; fewer towards the end, so that
/// all threads end at about the same time.
class UnitQueue {
 public:
  UnitQueue(const AttentionWork& work, int64_t num_kv_heads, int64_t num_threads)
      : work_(work), num_kv_heads_(num_kv_heads), num_threads_(num_threads) {}

  /// None once all have been taken.
  AttentionUnits take();

 private:
  /// How many units a thread gets that takes the next.
  int64_t share(int64_t unit) const;

  const AttentionWork& work_;
  int64_t num_kv_heads_;
  int64_t num_threads_;
  std::atomic<int64_t> next_ = 0;
};

}  // namespace prepack
