#include "model/layer_buffers.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "base/mapped_tensor.h"

namespace prepack {
namespace {

/// Smaller ones, such as decode steps', come from the heap: pages are not asked for in each step.
constexpr int64_t kMappedBytes = int64_t{2} << 20;

at::Tensor make_buffer(int64_t size, const at::TensorOptions& options) {
  const auto dtype = c10::typeMetaToScalarType(options.dtype());
  const auto num_bytes = size * static_cast<int64_t>(c10::elementSize(dtype));
  return options.device().is_cpu() && num_bytes >= kMappedBytes
             ? mapped_zeros({size}, dtype, PageSize::kLarge)
             : at::empty({size}, options);
}

}  // namespace

LayerBuffers::LayerBuffers(const ModelConfig& config, int64_t num_tokens,
                           const at::TensorOptions& options) {
  const int64_t normed_size = config.hidden_size;
  const int64_t attended_size = config.num_heads * config.head_dim;
  const int64_t qkv_size = attended_size + 2 * config.num_kv_heads * config.head_dim;
  const int64_t gated_size = config.intermediate_size;
  const int64_t shared_size = std::max(qkv_size + attended_size, 3 * gated_size);
  const auto all = make_buffer(num_tokens * (normed_size + shared_size), options);
  const auto columns = [&](int64_t first, int64_t count) {
    return all.narrow(0, num_tokens * first, num_tokens * count).view({num_tokens, count});
  };
  normed = columns(0, normed_size);
  qkv = columns(normed_size, qkv_size);
  attended = columns(normed_size + qkv_size, attended_size)
                 .view({num_tokens, config.num_heads, config.head_dim});
  gate_up = columns(normed_size, 2 * gated_size);
  gated = columns(normed_size + 2 * gated_size, gated_size);
}

}  // namespace prepack
