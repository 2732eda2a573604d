#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "model/linear.h"
#include "model/rms_norm.h"
#include "model/rope.h"
#include "prepack/model.h"

namespace prepack {

// Members are named as the tensors of a Hugging Face checkpoint are.

struct SelfAttention {
  Linear q_proj;  // [num_heads * head_dim, hidden_size]
  Linear k_proj;  // [num_kv_heads * head_dim, hidden_size]
  Linear v_proj;  // [num_kv_heads * head_dim, hidden_size]
  Linear o_proj;  // [hidden_size, num_heads * head_dim]
};

struct Mlp {
  Linear gate_proj;  // [intermediate_size, hidden_size]
  Linear up_proj;    // [intermediate_size, hidden_size]
  Linear down_proj;  // [hidden_size, intermediate_size]

  /// down(silu(gate(x)) * up(x)). Ref: Shazeer (arXiv:2002.05202), SwiGLU.
  /// @param hidden  [num_tokens, hidden_size]
  at::Tensor operator()(const at::Tensor& hidden) const;
};

struct DecoderLayer {
  RmsNorm input_layernorm;
  SelfAttention self_attn;
  RmsNorm post_attention_layernorm;
  Mlp mlp;
};

struct Model::Decoder {
  explicit Decoder(Rope rope) : rope(std::move(rope)) {}

  at::Tensor embed_tokens;  // [vocab_size, hidden_size]
  std::vector<DecoderLayer> layers;
  RmsNorm norm;
  Linear lm_head;  // [vocab_size, hidden_size]; shares embed_tokens where embeddings are tied
  Rope rope;
};

/// One forward's step through one layer.
/// @param hidden  [num_tokens, hidden_size]; updated in place
void run_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
               const ForwardInput& input, const RopeTable& rope, KvCache& cache,
               at::Tensor& hidden);

}  // namespace prepack
