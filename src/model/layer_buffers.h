#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "prepack/model_config.h"

namespace prepack {

/// What the layers of one forward compute in, one after the other, each over what is left of the
/// one before: tensors of their own would cost the first touch of their pages in each layer, and
/// leave holes in the heap as forwards of other sizes come.
struct LayerBuffers {
  /// @param options      dtype and device of the hidden states
  /// @param has_gate_up  or else products write `gated` at once
  LayerBuffers(const ModelConfig& config, int64_t num_tokens, const at::TensorOptions& options,
               bool has_gate_up = true);

  /// Those of the first `count` tokens; shares the memory of these.
  LayerBuffers first(int64_t count) const;

  at::Tensor normed;    // [num_tokens, hidden_size]
  at::Tensor qkv;       // [num_tokens, (num_heads + 2 num_kv_heads) head_dim]
  at::Tensor attended;  // [num_tokens, num_heads, head_dim]

  // In the memory of qkv and attended, which are done with by then.
  at::Tensor gate_up;  // [num_tokens, 2 * intermediate_size], or undefined
  at::Tensor gated;    // [num_tokens, intermediate_size]
};

}  // namespace prepack
