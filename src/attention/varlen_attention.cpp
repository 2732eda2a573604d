#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <numeric>
#include <vector>

#include "attention/flash_attention.h"
#include "attention/libtorch_attention.h"
#include "base/scalar_type.h"
#include "kernels/attention.h"
#include "prepack/attention.h"

namespace prepack {
namespace {

/// Some of a sequence's queries, to be attended to by one thread, one key head at a time.
struct Part {
  size_t sequence;
  int64_t first_query;  // in the batch
  int64_t num_queries;
  int64_t num_keys;  // up to the last query's own
  double cost;       // multiplications per key head
};

/// The sequences, cut where they are long. The cuts depend on nothing but a sequence's own length
/// and the heads, because a result may depend on them.
std::vector<Part> cut_sequences(const VarlenAttention& spec, int64_t group, int64_t head_dim) {
  // Queries and outputs of a part stay in the second cache while keys and values pass by.
  constexpr int64_t kFloats = 16384;
  const int64_t most_queries = std::max<int64_t>(kFloats / (head_dim * group), 1);
  std::vector<Part> parts;
  for (size_t i = 0; i < spec.num_keys.size(); ++i) {
    const int64_t start = spec.cu_seqlens[i];
    const int64_t num_queries = spec.num_keys[i] == 0 ? 0 : spec.cu_seqlens[i + 1] - start;
    const int64_t num_parts = (num_queries + most_queries - 1) / most_queries;
    for (int64_t n = 0; n < num_parts; ++n) {
      const int64_t begin = num_queries * n / num_parts;
      const int64_t end = num_queries * (n + 1) / num_parts;
      const int64_t num_keys = spec.num_keys[i] - num_queries + end;
      const double mean_keys =
          std::min(static_cast<double>(num_keys) - 0.5 * static_cast<double>(end - begin),
                   static_cast<double>(spec.window));
      parts.push_back(
          {.sequence = i,
           .first_query = start + begin,
           .num_queries = end - begin,
           .num_keys = num_keys,
           .cost = static_cast<double>(2 * (end - begin) * group * head_dim) * mean_keys});
    }
  }
  return parts;
}

using Runs = c10::SmallVector<SlotRun, 4>;

/// All keys of a sequence.
Runs key_runs(const VarlenAttention& spec, size_t sequence) {
  Runs runs;
  int64_t num_own = spec.num_keys[sequence];
  if (sequence < spec.beginnings.size()) {
    for (const auto& run : spec.beginnings[sequence]) {
      runs.push_back(run);
      num_own -= run.num_slots;
    }
  }
  runs.push_back({spec.first_keys[sequence], num_own});
  return runs;
}

void check(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
           const VarlenAttention& spec) {
  TORCH_CHECK(keys.size(2) == queries.size(2) && values.sizes() == keys.sizes(),
              "attention: queries of ", queries.sizes(), ", keys of ", keys.sizes(), ", values of ",
              values.sizes());
  TORCH_CHECK(queries.size(1) % keys.size(1) == 0, "attention: ", queries.size(1),
              " query heads for ", keys.size(1), " key heads");
  TORCH_CHECK(keys.dtype() == queries.dtype() && values.dtype() == queries.dtype(),
              "attention: queries of ", queries.dtype(), ", keys of ", keys.dtype());
  TORCH_CHECK(spec.window >= 1, "attention: a window of ", spec.window);
  const auto num_sequences = spec.num_keys.size();
  TORCH_CHECK(spec.cu_seqlens.size() == num_sequences + 1 &&
                  spec.first_keys.size() == num_sequences &&
                  spec.beginnings.size() <= num_sequences && spec.cu_seqlens.front() == 0 &&
                  spec.cu_seqlens.back() <= queries.size(0),
              "attention: the sequences have more than ", queries.size(0), " queries");
  for (size_t i = 0; i < num_sequences; ++i) {
    const int64_t num_queries = spec.cu_seqlens[i + 1] - spec.cu_seqlens[i];
    const bool fills_up = num_queries == 1 && spec.num_keys[i] == 0;
    const auto runs = key_runs(spec, i);
    const bool is_inside = std::ranges::all_of(runs, [&](const SlotRun& run) {
      return run.first_slot >= 0 && run.num_slots >= 0 &&
             run.first_slot + run.num_slots <= keys.size(0);
    });
    TORCH_CHECK(num_queries >= 0 && (num_queries <= spec.num_keys[i] || fills_up) && is_inside,
                "attention: sequence ", i, " has ", num_queries, " queries and ", spec.num_keys[i],
                " keys in ", runs.size(), " runs, the last from ", spec.first_keys[i], " on, of ",
                keys.size(0));
  }
}

/// Of what the kernel reads in place.
void check_strides(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  TORCH_CHECK(queries.stride(2) == 1 && queries.stride(1) == queries.size(2),
              "attention: the heads of one query must lie together");
  TORCH_CHECK(keys.stride(2) == 1 && values.stride(2) == 1,
              "attention: the numbers of one key must lie together");
}

}  // namespace

VarlenAttention VarlenAttention::of_last_queries() const {
  auto last = *this;
  std::iota(last.cu_seqlens.begin(), last.cu_seqlens.end(), 0);
  last.on_device.cu_seqlens = on_device.ordinals;
  last.on_device.max_queries = 1;
  return last;
}

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const VarlenAttention& spec, at::Tensor attended) {
  check(queries, keys, values, spec);
  if (!queries.is_cpu()) {
    const bool is_one_kernel =
        spec.kernel == VarlenKernel::kFastest &&
        has_varlen_kernel(queries.device(), queries.scalar_type(), queries.size(2));
    return is_one_kernel ? attend_with_flash(queries, keys, values, spec)
                         : attend_with_libtorch(queries, keys, values, spec);
  }
  check_strides(queries, keys, values);
  if (!attended.defined()) attended = at::empty(queries.sizes(), queries.options());
  TORCH_CHECK(attended.sizes() == queries.sizes() && attended.is_contiguous() &&
                  attended.dtype() == queries.dtype(),
              "attention: a result of ", attended.sizes(), " for queries of ", queries.sizes());
  zero_unattended(spec, attended);
  const int64_t num_kv_heads = keys.size(1);
  const int64_t group = queries.size(1) / num_kv_heads;
  const int64_t head_dim = queries.size(2);
  const auto dtype = from_scalar_type(queries.scalar_type());
  const auto address = [&](const at::Tensor& tensor, int64_t token, int64_t head) {
    const int64_t offset = token * tensor.stride(0) + head * tensor.stride(1);
    return static_cast<char*>(tensor.data_ptr()) + offset * tensor.element_size();
  };
  const auto attend_part = [&](const Part& part, int64_t kv_head) {
    const auto runs = key_runs(spec, part.sequence);
    attend_block({.dtype = dtype,
                  .queries = address(queries, part.first_query, kv_head * group),
                  .keys = address(keys, 0, kv_head),
                  .values = address(values, 0, kv_head),
                  .out = address(attended, part.first_query, kv_head * group),
                  .query_stride = queries.stride(0),
                  .key_stride = keys.stride(0),
                  .value_stride = values.stride(0),
                  .out_stride = attended.stride(0),
                  .runs = {runs.data(), runs.size()},
                  .num_queries = part.num_queries,
                  .num_keys = part.num_keys,
                  .group = group,
                  .head_dim = head_dim,
                  .window = spec.window});
  };

  auto parts = cut_sequences(spec, group, head_dim);
  double cost = 0;
  for (const auto& part : parts) cost += part.cost * static_cast<double>(num_kv_heads);
  // Threads take the parts as they get done with others, the most expensive first, so that all
  // end at about the same time.
  std::ranges::stable_sort(parts, std::greater(), &Part::cost);
  const int64_t num_tasks = std::ssize(parts) * num_kv_heads;
  std::atomic<int64_t> next_task = 0;
  const auto work = [&] {
    for (int64_t task; (task = next_task.fetch_add(1, std::memory_order_relaxed)) < num_tasks;) {
      attend_part(parts[task / num_kv_heads], task % num_kv_heads);
    }
  };
  constexpr double kWorthThreads = 5e5;  // multiplications that take longer than to wake a thread
  const int64_t num_threads =
      cost < kWorthThreads ? 1 : std::min<int64_t>(at::get_num_threads(), num_tasks);
  at::parallel_for(0, num_threads, /*grain_size=*/1, [&](int64_t, int64_t) { work(); });
  return attended;
}

}  // namespace prepack
