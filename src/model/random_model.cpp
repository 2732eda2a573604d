#include "model/random_model.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "base/scalar_type.h"
#include "model/decoder.h"
#include "weights/quantized_weight.h"

namespace prepack {
namespace {

/// Makes the parts of one model.
class RandomParts {
 public:
  RandomParts(const ModelConfig& config, DType dtype, at::Device device, const Rounding& rounding)
      : config_(config),
        options_(at::TensorOptions(to_scalar_type(dtype)).device(device)),
        rounding_(rounding) {}

  /// Small enough that hidden states stay of the size of what they are made of.
  at::Tensor matrix(int64_t rows, int64_t columns) const {
    return at::empty({rows, columns}, options_)
        .normal_(0, 1 / std::sqrt(static_cast<double>(columns)));
  }

  /// Quantized, if weights of products are.
  Weight product(int64_t rows, int64_t columns, std::optional<Quantization> quantization) const {
    if (!quantization) return matrix(rows, columns);
    auto weight = QuantizedWeight::make_empty(rows, columns, *quantization).to(options_.device());
    weight.activations = rounding_.activations;
    const bool is_int8 = weight.format.bits == 8;
    const int64_t lowest = is_int8 ? -128 : 0;
    weight.values.random_(lowest, lowest + 256);  // bytes, of two values where these are of 4 bits
    const double deviation = is_int8 ? 73.9 : 4.61;  // of evenly distributed values
    const double scale = 1 / (deviation * std::sqrt(static_cast<double>(columns)));
    weight.scales.fill_(scale);
    if (!is_int8) weight.minimums.fill_(-7.5 * scale);
    return weight;
  }

  Linear linear(int64_t out_features, int64_t in_features, bool has_bias) const {
    Linear linear{.weight = product(out_features, in_features, rounding_.quantization), .bias = {}};
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
  const Rounding& rounding_;
};

}  // namespace

Model make_random_model(const ModelConfig& config, DType dtype, at::Device device,
                        const Rounding& rounding) {
  const RandomParts parts(config, dtype, device, rounding);
  auto decoder = std::make_shared<Model::Decoder>(Rope(config.rope, config.rotary_dim, device));
  decoder->embed_tokens = parts.matrix(config.vocab_size, config.hidden_size);
  for (int64_t i = 0; i < config.num_layers; ++i) decoder->layers.push_back(parts.layer());
  decoder->norm = parts.norm(config.hidden_size);
  auto of_lm_head = rounding.quantization;
  if (of_lm_head) of_lm_head->bits = 8;
  decoder->lm_head.weight = config.tie_word_embeddings
                                ? decoder->embed_tokens
                                : parts.product(config.vocab_size, config.hidden_size, of_lm_head);
  return {config, dtype, device, std::move(decoder), rounding.quantization, rounding.activations};
}

}  // namespace prepack
