#include <fmt/format.h>

#include "base/scalar_type.h"
#include "model/decoder.h"
#include "prepack/model.h"
#include "weights/checkpoint.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

/// Binds the parts of a decoder to the names that Hugging Face gives them.
class DecoderBinder {
 public:
  DecoderBinder(const ModelConfig& config, WeightLoader& loader)
      : config_(config), loader_(loader) {}

  void bind(Model::Decoder& decoder) {
    loader_.bind_rows(decoder.embed_tokens, {{"model.embed_tokens.weight", config_.vocab_size}},
                      config_.hidden_size);
    for (size_t i = 0; i < decoder.layers.size(); ++i) {
      bind_layer(decoder.layers[i], fmt::format("model.layers.{}", i));
    }
    bind_norm(decoder.norm, "model.norm");
    if (config_.tie_word_embeddings) {
      // Some checkpoints store the shared tensor under both names.
      loader_.tolerate("lm_head.weight", {config_.vocab_size, config_.hidden_size});
    } else {
      bind_linear(decoder.lm_head, {{"lm_head", config_.vocab_size}}, config_.hidden_size, false);
    }
  }

 private:
  void bind_layer(DecoderLayer& layer, const std::string& name) {
    const int64_t hidden_size = config_.hidden_size;
    const int64_t query_size = config_.num_heads * config_.head_dim;
    const int64_t key_size = config_.num_kv_heads * config_.head_dim;
    auto& attention = layer.self_attn;
    bind_norm(layer.input_layernorm, name + ".input_layernorm");
    bind_linear(attention.qkv_proj,
                {{name + ".self_attn.q_proj", query_size},
                 {name + ".self_attn.k_proj", key_size},
                 {name + ".self_attn.v_proj", key_size}},
                hidden_size, config_.qkv_bias);
    bind_linear(attention.o_proj, {{name + ".self_attn.o_proj", hidden_size}}, query_size,
                config_.attention_output_bias);
    bind_norm(layer.post_attention_layernorm, name + ".post_attention_layernorm");
    bind_linear(layer.mlp.gate_up_proj,
                {{name + ".mlp.gate_proj", config_.intermediate_size},
                 {name + ".mlp.up_proj", config_.intermediate_size}},
                hidden_size, config_.mlp_bias);
    bind_linear(layer.mlp.down_proj, {{name + ".mlp.down_proj", hidden_size}},
                config_.intermediate_size, config_.mlp_bias);
  }

  void bind_norm(RmsNorm& norm, const std::string& name) {
    norm.eps = config_.rms_norm_eps;
    loader_.bind(norm.weight, name + ".weight", {config_.hidden_size});
  }

  /// @param parts  projections of the same input, by name and output features
  void bind_linear(Linear& linear, const std::vector<StackedRows>& parts, int64_t in_features,
                   bool has_bias) {
    const auto with_suffix = [&](const char* suffix) {
      auto named = parts;
      for (auto& part : named) part.name += suffix;
      return named;
    };
    loader_.bind_rows(linear.weight, with_suffix(".weight"), in_features);
    if (has_bias) loader_.bind_rows(linear.bias.emplace(), with_suffix(".bias"));
  }

  const ModelConfig& config_;
  WeightLoader& loader_;
};

}  // namespace

Model load_model(const std::filesystem::path& path, const LoadOptions& options) {
  auto config = load_model_config(path);
  const auto dtype = options.dtype.value_or(default_dtype(config, options.device));
  const auto checkpoint = Checkpoint::open(path);
  auto decoder =
      std::make_shared<Model::Decoder>(Rope(config.rope, config.head_dim, options.device));
  decoder->layers.resize(static_cast<size_t>(config.num_layers));
  WeightLoader loader(checkpoint, to_scalar_type(dtype), options.device);
  DecoderBinder(config, loader).bind(*decoder);
  loader.load();
  if (config.tie_word_embeddings) decoder->lm_head.weight = decoder->embed_tokens;
  return {std::move(config), dtype, options.device, std::move(decoder)};
}

}  // namespace prepack
