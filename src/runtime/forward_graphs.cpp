#include "runtime/forward_graphs.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <utility>
#include <variant>

#include "base/own_errors.h"
#include "base/scalar_type.h"
#include "base/upload.h"
#include "runtime/forward_arrays.h"

namespace prepack {
namespace {

int64_t power_of_two(int64_t n, int64_t least) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(n, least))));
}

/// To a multiple of a fraction of the power of two that is not larger.
int64_t round_up(int64_t n, int64_t fraction, int64_t least_step) {
  const auto floor = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n)));
  const int64_t step = std::max(floor / fraction, least_step);
  return (n + step - 1) / step * step;
}

bool is_decode_step(const VarlenAttention& attention, int64_t num_tokens) {
  for (size_t i = 0; i + 1 < attention.cu_seqlens.size(); ++i) {
    if (attention.cu_seqlens[i + 1] - attention.cu_seqlens[i] != 1) return false;
  }
  return std::ssize(attention.num_keys) == num_tokens;
}

at::Tensor with_length(const at::Tensor& values, int64_t length, int64_t filler) {
  auto longer = at::zeros({length}, values.options()).fill_(filler);
  longer.narrow(0, 0, values.numel()).copy_(values);
  return longer;
}

/// On the CPU attention reads these numbers from the host's lists, which a replay leaves as they
/// were: they are those that a GPU would read.
void read_back(VarlenAttention& attention) {
  const auto copy = [](const at::Tensor& from, auto& to) {
    std::copy_n(from.const_data_ptr<int32_t>(), to.size(), to.begin());
  };
  copy(attention.on_device.cu_seqlens, attention.cu_seqlens);
  copy(attention.on_device.first_keys, attention.first_keys);
  copy(attention.on_device.num_keys, attention.num_keys);
}

}  // namespace

GraphShape graph_shape(const ForwardInput& input) {
  const auto& attention = std::get<VarlenAttention>(input.attention);
  const int64_t num_tokens = input.input_ids.numel();
  GraphShape shape{.has_outputs = input.output_tokens.has_value()};
  for (size_t i = 0; i < attention.num_keys.size(); ++i) {
    shape.max_queries =
        std::max<int64_t>(shape.max_queries, attention.cu_seqlens[i + 1] - attention.cu_seqlens[i]);
    shape.max_keys = std::max(shape.max_keys, attention.num_keys[i]);
  }
  if (is_decode_step(attention, num_tokens)) {
    shape.num_tokens = shape.num_sequences = round_up(num_tokens, 4, 1);
    shape.max_keys = power_of_two(shape.max_keys, 256);
    return shape;
  }
  shape.num_tokens = round_up(num_tokens, 8, 16);
  shape.num_sequences = power_of_two(std::ssize(attention.num_keys), 8);
  shape.max_queries = power_of_two(shape.max_queries, 64);
  shape.max_keys = power_of_two(shape.max_keys, 64);
  return shape;
}

ForwardInput fill_up(ForwardInput input, const GraphShape& shape) {
  auto& attention = std::get<VarlenAttention>(input.attention);
  const bool is_step = is_decode_step(attention, input.input_ids.numel());
  input.input_ids = with_length(input.input_ids, shape.num_tokens, 0);
  input.position_ids = with_length(input.position_ids, shape.num_tokens, 0);
  input.cache_slots.slots =
      with_length(input.cache_slots.slots, shape.num_tokens, CacheSlots::kNowhere);
  if (input.output_tokens) {
    input.output_tokens = with_length(*input.output_tokens, shape.num_sequences, 0);
  }
  input.sequence_lens.resize(shape.num_tokens, 1);
  while (std::ssize(attention.num_keys) < shape.num_sequences) {
    attention.cu_seqlens.push_back(attention.cu_seqlens.back() + (is_step ? 1 : 0));
    attention.first_keys.push_back(0);
    attention.num_keys.push_back(0);
  }
  return input;
}

at::Tensor ForwardGraphs::run(const ForwardInput& input) {
  return model_.compute_logits(model_.forward(input, cache_));
}

at::Tensor ForwardGraphs::warm_up(const ForwardInput& filled, const GraphShape& shape,
                                  Recorded& recorded) {
  const auto arrays = forward_arrays(filled);
  recorded.joined = join(arrays, /*is_pinned=*/false).to(model_.device());
  recorded.input = with_arrays(filled, split(recorded.joined, arrays));
  auto& on_device = std::get<VarlenAttention>(recorded.input.attention).on_device;
  on_device.max_queries = shape.max_queries;
  on_device.max_keys = shape.max_keys;
  return run(recorded.input);
}

at::Tensor ForwardGraphs::replay(const ForwardInput& filled, Recorded& recorded) {
  recorded.joined.copy_(join(forward_arrays(filled), /*is_pinned=*/model_.device().is_cuda()),
                        /*non_blocking=*/true);
  if (recorded.graph == nullptr) {
    recorded.graph = capture_(first_graph_, [this, &recorded] {
      if (model_.device().is_cpu()) {
        read_back(std::get<VarlenAttention>(recorded.input.attention));
      }
      recorded.logits = run(recorded.input);
    });
    if (first_graph_ == nullptr) first_graph_ = recorded.graph.get();
  }
  recorded.graph->replay();
  ++num_replays_;
  return recorded.logits;
}

void ForwardGraphs::give_up(Recorded& recorded, std::string why) {
  if (first_failure_.empty()) first_failure_ = std::move(why);
  if (first_graph_ == recorded.graph.get()) first_graph_ = nullptr;
  recorded = {};
  recorded.is_given_up = true;
}

at::Tensor ForwardGraphs::compute(const ForwardInput& input) {
  const auto shape = graph_shape(input);
  auto& recorded = recorded_[shape];
  ++recorded.num_uses;
  if (recorded.num_uses == 2 && ++num_kept_ > kMostShapes) recorded.is_given_up = true;
  // What comes once is worth neither filling up nor a recording.
  if (recorded.num_uses > 1 && !recorded.is_given_up) {
    try {
      const auto filled = fill_up(input, shape);
      const auto logits =
          recorded.num_uses == 2 ? warm_up(filled, shape, recorded) : replay(filled, recorded);
      const int64_t num_outputs =
          input.output_tokens ? input.output_tokens->numel() : input.input_ids.numel();
      return logits.narrow(0, 0, num_outputs);
    } catch (const std::exception& error) {
      // A recording takes memory of its own, and may fail where its forward does not. What fails in
      // the forward too is told by that.
      give_up(recorded, plain_message(error));
    }
  }
  return run(to_device(input, model_.device()));
}

std::unique_ptr<ForwardGraphs> make_forward_graphs(const Model& model, KvCache& cache) {
  const auto device = model.device();
  const auto& config = model.config();
  if (!device.is_cuda() || cache.memory() != CacheMemory::kExact ||
      !has_varlen_kernel(device, to_scalar_type(model.dtype()), config.head_dim) ||
      config.rope.depends_on_length()) {
    return nullptr;
  }
  return std::make_unique<ForwardGraphs>(
      model, cache, [device](const DeviceGraph* sharing, const std::function<void()>& run) {
        return cuda_half().capture(device.index(), sharing, run);
      });
}

}  // namespace prepack
