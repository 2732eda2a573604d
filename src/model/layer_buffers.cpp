#include "model/layer_buffers.h"

#include <algorithm>

#include "base/mapped_tensor.h"

namespace prepack {

LayerBuffers::LayerBuffers(const ModelConfig& config, int64_t num_tokens,
                           const at::TensorOptions& options) {
  const int64_t normed_size = config.hidden_size;
  const int64_t attended_size = config.num_heads * config.head_dim;
  const int64_t qkv_size = attended_size + 2 * config.num_kv_heads * config.head_dim;
  const int64_t gated_size = config.intermediate_size;
  const int64_t shared_size = std::max(qkv_size + attended_size, 3 * gated_size);
  const auto all = scratch({num_tokens * (normed_size + shared_size)}, options);
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
