#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "prepack/model_config.h"

namespace prepack {

/// What the layers of one forward compute in, one after the other: a layer makes no large tensors
/// of its own, which would cost the first touch of their pages in each, and leave holes in the heap
/// as forwards of other sizes come.
struct LayerBuffers {
  /// @param options  dtype and device of the hidden states
  LayerBuffers(const ModelConfig& config, int64_t num_tokens, const at::TensorOptions& options);

  at::Tensor normed;    // [num_tokens, hidden_size]
  at::Tensor qkv;       // [num_tokens, (num_heads + 2 num_kv_heads) head_dim]
  at::Tensor attended;  // [num_tokens, num_heads, head_dim]

  // In the memory of qkv and attended, which are done with by then.
  at::Tensor gate_up;  // [num_tokens, 2 * intermediate_size]
  at::Tensor gated;    // [num_tokens, intermediate_size]
};

}  // namespace prepack
