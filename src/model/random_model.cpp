#include "model/random_model.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include <cmath>
#include <memory>
#include <utility>

#include "base/scalar_type.h"
#include "model/decoder.h"

namespace prepack {
namespace {

/// Makes the parts of one model.
class RandomParts {
 public:
  RandomParts(const ModelConfig& config, DType dtype, at::Device device)
      : config_(config), options_(at::TensorOptions(to_scalar_type(dtype)).device(device)) {}

  /// Small enough that hidden states stay of the size of what they are made of.
  at::Tensor matrix(int64_t rows, int64_t columns) const {
    return at::empty({rows, columns}, options_)
        .normal_(0, 1 / std::sqrt(static_cast<double>(columns)));
  }

  Linear linear(int64_t out_features, int64_t in_features, bool has_bias) const {
    Linear linear{.weight = matrix(out_features, in_features), .bias = {}};
    if (has_bias) linear.bias = at::empty({out_features}, options_).normal_(0, 0.1);
    return linear;
  }

  RmsNorm norm(int64_t size) const { return {at::ones({size}, options_), config_.rms_norm_eps}; }

  DecoderLayer layer() const {
    const int64_t query_size = config_.num_heads * config_.head_dim;
    const int64_t key_size = config_.num_kv_heads * config_.head_dim;
    const int64_t hidden_size = config_.hidden_size;
    const int64_t intermediate_size = config_.intermediate_size;
    DecoderLayer layer;
    layer.input_layernorm = norm(hidden_size);
    layer.self_attn.qkv_proj = linear(query_size + 2 * key_size, hidden_size, config_.qkv_bias);
    layer.self_attn.o_proj = linear(hidden_size, query_size, config_.attention_output_bias);
    if (config_.qk_norm) {
      layer.self_attn.q_norm = norm(config_.head_dim);
      layer.self_attn.k_norm = norm(config_.head_dim);
    }
    layer.post_attention_layernorm = norm(hidden_size);
    layer.mlp.gate_up_proj = linear(2 * intermediate_size, hidden_size, config_.mlp_bias);
    layer.mlp.down_proj = linear(hidden_size, intermediate_size, config_.mlp_bias);
    return layer;
  }

 private:
  const ModelConfig& config_;
  at::TensorOptions options_;
};

}  // namespace

Model make_random_model(const ModelConfig& config, DType dtype, at::Device device) {
  const RandomParts parts(config, dtype, device);
  auto decoder = std::make_shared<Model::Decoder>(Rope(config.rope, config.rotary_dim, device));
  decoder->embed_tokens = parts.matrix(config.vocab_size, config.hidden_size);
  for (int64_t i = 0; i < config.num_layers; ++i) decoder->layers.push_back(parts.layer());
  decoder->norm = parts.norm(config.hidden_size);
  decoder->lm_head.weight = config.tie_word_embeddings
                                ? decoder->embed_tokens
                                : parts.matrix(config.vocab_size, config.hidden_size);
  return {config, dtype, device, std::move(decoder)};
}

}  // namespace prepack
