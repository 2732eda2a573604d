#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <vector>

#include "attention/attention_work.h"
#include "attention/flash_attention.h"
#include "attention/libtorch_attention.h"
#include "base/scalar_type.h"
#include "kernels/attention.h"
#include "prepack/attention.h"

namespace prepack {
namespace {

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

/// Where the heads of a tensor [num_tokens, num_heads, head_dim] lie: what every task asks for, so
/// that the tensor is asked once.
class HeadAddresses {
 public:
  explicit HeadAddresses(const at::Tensor& tensor)
      : data_(static_cast<char*>(tensor.data_ptr())),
        token_stride_(tensor.stride(0)),
        head_stride_(tensor.stride(1)),
        element_size_(tensor.element_size()) {}

  void* at(int64_t token, int64_t head) const {
    return data_ + (token * token_stride_ + head * head_stride_) * element_size_;
  }
  int64_t token_stride() const { return token_stride_; }

 private:
  char* data_;
  int64_t token_stride_;
  int64_t head_stride_;
  int64_t element_size_;
};

/// The partial results of parts whose keys are cut into stretches.
class PartialResults {
 public:
  PartialResults(const AttentionWork& work, int64_t num_kv_heads)
      : parts_(work.parts), num_kv_heads_(num_kv_heads) {
    if (work.num_partial_floats == 0) return;
    memory_ = kept_floats(work.num_partial_floats);
    num_left_ = std::vector<std::atomic<int64_t>>(parts_.size() * num_kv_heads);
    for (size_t i = 0; i < num_left_.size(); ++i) {
      num_left_[i].store(parts_[i / num_kv_heads].num_stretches, std::memory_order_relaxed);
    }
  }

  /// [num_stretches, partial_size]
  float* of(size_t part, int64_t kv_head) const {
    const auto& of_part = parts_[part];
    return memory_ + of_part.first_partial + kv_head * of_part.num_stretches * of_part.partial_size;
  }

  /// To be called for each stretch, once its partial result is there.
  /// @return whether all are
  bool is_last(size_t part, int64_t kv_head) {
    auto& num_left = num_left_[part * num_kv_heads_ + kv_head];
    return num_left.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

 private:
  /// Kept, because every layer of every step needs as many.
  static float* kept_floats(int64_t size) {
    thread_local at::Tensor kept;
    if (!kept.defined() || kept.numel() < size) {
      kept.reset();  // before the new one is there, to need no more than that
      kept = at::empty({size}, at::kFloat);
    }
    return kept.data_ptr<float>();
  }

  const std::vector<QueryPart>& parts_;
  int64_t num_kv_heads_;
  float* memory_ = nullptr;
  std::vector<std::atomic<int64_t>> num_left_;  // [num_parts, num_kv_heads]: stretches
};

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
  const HeadAddresses from_queries(queries);
  const HeadAddresses from_keys(keys);
  const HeadAddresses from_values(values);
  const HeadAddresses to(attended);
  const auto work = cut_work(spec, num_kv_heads, group, head_dim);
  PartialResults partials(work, num_kv_heads);
  const auto task_of = [&](int64_t unit) -> const AttentionTask& {
    return work.tasks[unit / num_kv_heads];
  };
  const auto block_of = [&](int64_t unit, const Runs& runs) {
    const auto& part = work.parts[task_of(unit).part];
    const int64_t kv_head = unit % num_kv_heads;
    return AttentionBlock{
        .dtype = dtype,
        .queries = from_queries.at(part.first_query, kv_head * group),
        .keys = from_keys.at(0, kv_head),
        .values = from_values.at(0, kv_head),
        .out = to.at(part.first_query, kv_head * group),
        .query_stride = from_queries.token_stride(),
        .key_stride = from_keys.token_stride(),
        .value_stride = from_values.token_stride(),
        .out_stride = to.token_stride(),
        .runs = {runs.data(), runs.size()},
        .num_queries = part.num_queries,
        .num_keys = part.num_keys,
        .group = group,
        .head_dim = head_dim,
        .window = spec.window,
    };
  };
  const auto runs_of = [&](int64_t unit) {
    return key_runs(spec, work.parts[task_of(unit).part].sequence);
  };
  const auto first_reads_of = [&](int64_t unit) {
    const auto runs = runs_of(unit);
    return first_reads(block_of(unit, runs), task_of(unit).stretch);
  };
  const auto attend_unit = [&](int64_t unit, const FirstReads& next) {
    const auto& task = task_of(unit);
    const auto& part = work.parts[task.part];
    const auto runs = runs_of(unit);
    auto block = block_of(unit, runs);
    block.next = next;
    if (part.num_stretches == 1) return attend_block(block);
    const int64_t kv_head = unit % num_kv_heads;
    float* partial = partials.of(task.part, kv_head);
    attend_stretch(block, task.stretch, partial + task.stretch * part.partial_size);
    if (partials.is_last(task.part, kv_head)) combine_stretches(block, partial);
  };

  constexpr double kWorthThreads = 5e5;  // multiplications that take longer than to wake a thread
  const int64_t num_units = std::ssize(work.tasks) * num_kv_heads;
  const int64_t num_threads =
      work.cost < kWorthThreads ? 1 : std::min<int64_t>(at::get_num_threads(), num_units);
  UnitQueue queue(work, num_kv_heads, num_threads);
  at::parallel_for(0, num_threads, /*grain_size=*/1, [&](int64_t, int64_t) {
    for (auto units = queue.take(); units.begin < units.end; units = queue.take()) {
      for (int64_t unit = units.begin; unit < units.end; ++unit) {
        attend_unit(unit, unit + 1 < units.end ? first_reads_of(unit + 1) : FirstReads{});
      }
    }
  });
  return attended;
}

}  // namespace prepack
