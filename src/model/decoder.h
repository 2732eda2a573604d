#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "model/layer_buffers.h"
#include "model/linear.h"
#include "model/rms_norm.h"
#include "model/rope.h"
#include "prepack/model.h"

namespace prepack {

// Members are named as the tensors of a Hugging Face checkpoint are. Products of the same input are
// one: their weights are stacked, in the order in which the comments name them.

struct SelfAttention {
  Linear qkv_proj;  // q_proj, k_proj, v_proj: [(num_heads + 2 num_kv_heads) head_dim, hidden_size]
  std::optional<RmsNorm> q_norm;  // of each query head by itself
  std::optional<RmsNorm> k_norm;  // of each key head by itself
  Linear o_proj;                  // [hidden_size, num_heads * head_dim]
};

struct Mlp {
  Linear gate_up_proj;  // gate_proj, up_proj: [2 * intermediate_size, hidden_size]
  Linear down_proj;     // [hidden_size, intermediate_size]

  /// sum += down(silu(gate(x)) * up(x)). Ref: Shazeer (arXiv:2002.05202), SwiGLU.
  /// @param sum      [num_tokens, hidden_size]
  /// @param buffers  whose `normed` is x
  void add_to(LayerBuffers& buffers, at::Tensor& sum) const;
};

struct DecoderLayer {
  RmsNorm input_layernorm;
  SelfAttention self_attn;
  RmsNorm post_attention_layernorm;
  Mlp mlp;
};

/// The products of a layer, in the order in which it computes them.
/// @param layer  DecoderLayer, const or not
template <typename Layer>
auto products_of(Layer& layer) {
  return std::array{&layer.self_attn.qkv_proj, &layer.self_attn.o_proj, &layer.mlp.gate_up_proj,
                    &layer.mlp.down_proj};
}

struct Model::Decoder {
  explicit Decoder(Rope rope) : rope(std::move(rope)) {}

  Weight embed_tokens;  // [vocab_size, hidden_size]
  std::vector<DecoderLayer> layers;
  RmsNorm norm;
  Linear lm_head;  // [vocab_size, hidden_size]; shares embed_tokens where embeddings are tied
  Rope rope;
};

/// One forward's step through one layer.
/// @param buffers  of as many tokens
/// @param hidden   [num_tokens, hidden_size]; updated in place
void run_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
               const ForwardInput& input, const RopeTable& rope, KvCache& cache,
               LayerBuffers& buffers, at::Tensor& hidden);

/// The last layer of a forward with VarlenAttention of which only `input.output_tokens` are read:
/// keys and values of all tokens, everything else of these alone.
/// @param buffers  of as many tokens
/// @param hidden   [num_tokens, hidden_size]; becomes [num_outputs, hidden_size]
void run_last_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
                    const ForwardInput& input, const RopeTable& rope, KvCache& cache,
                    LayerBuffers& buffers, at::Tensor& hidden);

}  // namespace prepack
