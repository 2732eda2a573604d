#include "model/layer_buffers.h"

#include <algorithm>

#include "base/mapped_tensor.h"

namespace prepack {

namespace {

/// Elements: parts begin where kernels that load many bytes at once want their operands.
constexpr int64_t kAlignment = 64;

}  // namespace

LayerBuffers::LayerBuffers(const ModelConfig& config, int64_t num_tokens,
                           const at::TensorOptions& options, bool has_gate_up) {
  const int64_t attended_columns = config.num_heads * config.head_dim;
  const int64_t qkv_columns = attended_columns + 2 * config.num_kv_heads * config.head_dim;
  const int64_t gated_columns = config.intermediate_size;
  const auto size_of = [&](int64_t num_columns) {
    return (num_tokens * num_columns + kAlignment - 1) / kAlignment * kAlignment;
  };
  const int64_t normed_size = size_of(config.hidden_size);
  const int64_t qkv_size = size_of(qkv_columns);
  const int64_t gate_up_size = has_gate_up ? size_of(2 * gated_columns) : 0;
  const int64_t shared_size =
      std::max(qkv_size + size_of(attended_columns), gate_up_size + size_of(gated_columns));
  const auto all = scratch({normed_size + shared_size}, options);
  const auto columns = [&](int64_t first, int64_t num_columns) {
    return all.narrow(0, first, num_tokens * num_columns).view({num_tokens, num_columns});
  };
  normed = columns(0, config.hidden_size);
  qkv = columns(normed_size, qkv_columns);
  attended = columns(normed_size + qkv_size, attended_columns)
                 .view({num_tokens, config.num_heads, config.head_dim});
  if (has_gate_up) gate_up = columns(normed_size, 2 * gated_columns);
  gated = columns(normed_size + gate_up_size, gated_columns);
}

LayerBuffers LayerBuffers::first(int64_t count) const {
  auto part = *this;
  for (auto* buffer : {&part.normed, &part.qkv, &part.attended, &part.gate_up, &part.gated}) {
    if (buffer->defined()) *buffer = buffer->narrow(0, 0, count);
  }
  return part;
}

}  // namespace prepack
