#include "attention/attention_work.h"

#include <algorithm>
#include <functional>
#include <ranges>

#include "kernels/attention.h"

namespace prepack {
namespace {

/// A part as the kernel sees it, without the addresses.
AttentionBlock as_block(const QueryPart& part, int64_t group, int64_t head_dim, int64_t window) {
  AttentionBlock block{};
  block.num_queries = part.num_queries;
  block.num_keys = part.num_keys;
  block.group = group;
  block.head_dim = head_dim;
  block.window = window;
  return block;
}

/// Keys of a stretch that a query of the block attends to, on average.
double mean_keys(const AttentionBlock& block, KeyStretch stretch) {
  if (num_stretches(block) > 1) {
    return static_cast<double>(stretch.end - std::max(stretch.begin, first_key(block, 0)));
  }
  return std::min(
      static_cast<double>(block.num_keys) - 0.5 * static_cast<double>(block.num_queries),
      static_cast<double>(block.window));
}

/// Takes a part into the work, and its stretches as tasks.
void add_part(QueryPart part, const AttentionBlock& block, int64_t num_kv_heads,
              AttentionWork& work) {
  part.num_stretches = num_stretches(block);
  if (part.num_stretches > 1) {
    part.first_partial = work.num_partial_floats;
    part.partial_size = partial_size(block);
    work.num_partial_floats += num_kv_heads * part.num_stretches * part.partial_size;
  }
  for (int64_t i = 0; i < part.num_stretches; ++i) {
    const double cost = static_cast<double>(2 * block.num_queries * block.group * block.head_dim) *
                        mean_keys(block, key_stretch(block, i));
    work.tasks.push_back({.part = work.parts.size(), .stretch = i, .cost = cost});
    work.cost += cost * static_cast<double>(num_kv_heads);
  }
  work.parts.push_back(part);
}

}  // namespace

AttentionWork cut_work(const VarlenAttention& spec, int64_t num_kv_heads, int64_t group,
                       int64_t head_dim) {
  // Queries and outputs of a part stay in the second cache while keys and values pass by.
  constexpr int64_t kFloats = 16384;
  // Two at least, so that keys are cut for a sequence's last query at most.
  const int64_t most_queries = std::max<int64_t>(kFloats / (head_dim * group), 2);
  AttentionWork work;
  work.parts.reserve(spec.num_keys.size());
  work.tasks.reserve(spec.num_keys.size());
  for (size_t i = 0; i < spec.num_keys.size(); ++i) {
    const int64_t start = spec.cu_seqlens[i];
    const int64_t num_queries = spec.num_keys[i] == 0 ? 0 : spec.cu_seqlens[i + 1] - start;
    const int64_t num_parts = (num_queries + most_queries - 1) / most_queries;
    for (int64_t n = 0; n < num_parts; ++n) {
      const int64_t begin = num_queries * n / num_parts;
      const int64_t end = num_queries * (n + 1) / num_parts;
      QueryPart part{};
      part.sequence = i;
      part.first_query = start + begin;
      part.num_queries = end - begin;
      part.num_keys = spec.num_keys[i] - num_queries + end;
      add_part(part, as_block(part, group, head_dim, spec.window), num_kv_heads, work);
    }
  }
  std::ranges::stable_sort(work.tasks, std::greater(), &AttentionTask::cost);
  double cost_left = 0;
  for (auto& task : std::views::reverse(work.tasks)) task.cost_left = cost_left += task.cost;
  return work;
}

int64_t UnitQueue::share(int64_t unit) const {
  const auto& task = work_.tasks[unit / num_kv_heads_];
  const double cost_left = static_cast<double>(num_kv_heads_) * task.cost_left -
                           static_cast<double>(unit % num_kv_heads_) * task.cost;
  // Half of what each thread has yet to do. No unit behind this one costs more.
  const double share = 0.5 * cost_left / (static_cast<double>(num_threads_) * task.cost);
  return std::max<int64_t>(static_cast<int64_t>(share), 1);
}

AttentionUnits UnitQueue::take() {
  const int64_t num_units = std::ssize(work_.tasks) * num_kv_heads_;
  int64_t begin = next_.load(std::memory_order_relaxed);
  int64_t end = begin;
  do {
    if (begin >= num_units) return {num_units, num_units};
    end = begin + share(begin);
  } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
  return {begin, end};
}

}  // namespace prepack
