#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/own_errors.h"
#include "base/scalar_type.h"
#include "model/blocked_products.h"
#include "model/decoder.h"
#include "model/families/family.h"
#include "prepack/error.h"
#include "prepack/model.h"
#include "weights/checkpoint.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

constexpr const char* kEmbeddings = "model.embed_tokens.weight";
constexpr const char* kLmHead = "lm_head.weight";

/// Whether the vocabulary's projection is the table of embeddings: where a config says so, but the
/// checkpoint has two that differ, as when one of them was trained further, it is not.
/// Ref: transformers, PreTrainedModel.tie_weights
bool ties_embeddings(const ModelConfig& config, const Checkpoint& checkpoint) {
  if (!config.tie_word_embeddings) return false;
  const auto* embeddings = checkpoint.find_model_tensor(kEmbeddings);
  const auto* lm_head = checkpoint.find(kLmHead);
  return embeddings == nullptr || lm_head == nullptr || holds_same(*embeddings, *lm_head);
}

/// Binds the parts of a decoder to the names that Hugging Face gives them.
class DecoderBinder {
 public:
  /// @param quantization   of products; absent: none
  /// @param wants_blocked  of weights of the layers' products
  DecoderBinder(const ModelConfig& config, const std::optional<Quantization>& quantization,
                WeightLoader::WantsBlocked wants_blocked, WeightLoader& loader)
      : config_(config),
        names_(family_of(config.architecture).names),
        quantization_(quantization),
        wants_blocked_(std::move(wants_blocked)),
        loader_(loader) {}

  /// @param has_embeddings  or the vocabulary's projection alone, which then is both
  void bind(Model::Decoder& decoder, bool has_embeddings) {
    const char* const embeddings = has_embeddings ? kEmbeddings : kLmHead;
    if (config_.tie_word_embeddings) {  // a weight of products, too
      loader_.bind_rows(decoder.embed_tokens, {{embeddings, config_.vocab_size}},
                        config_.hidden_size);
    } else {
      loader_.bind_table(decoder.embed_tokens, embeddings, config_.vocab_size, config_.hidden_size);
    }
    for (size_t i = 0; i < decoder.layers.size(); ++i) {
      bind_layer(decoder.layers[i], fmt::format("model.layers.{}", i));
    }
    bind_norm(decoder.norm, "model.norm", config_.hidden_size);
    if (config_.tie_word_embeddings) {
      // Some checkpoints store the shared tensor under both names.
      loader_.tolerate(kLmHead, {config_.vocab_size, config_.hidden_size});
    } else {
      auto quantization = quantization_;
      if (quantization) quantization->bits = 8;
      bind_weight(decoder.lm_head.weight, {{kLmHead, config_.vocab_size}}, config_.hidden_size,
                  quantization);
    }
  }

 private:
  void bind_layer(DecoderLayer& layer, const std::string& name) {
    const int64_t hidden_size = config_.hidden_size;
    const int64_t query_size = config_.num_heads * config_.head_dim;
    const int64_t key_size = config_.num_kv_heads * config_.head_dim;
    auto& attention = layer.self_attn;
    bind_norm(layer.input_layernorm, name + ".input_layernorm", hidden_size);
    bind_linear(attention.qkv_proj,
                stacked(name, names_.qkv_proj, std::array{query_size, key_size, key_size}),
                hidden_size, config_.qkv_bias);
    if (config_.qk_norm) {
      bind_norm(attention.q_norm.emplace(), name + ".self_attn.q_norm", config_.head_dim);
      bind_norm(attention.k_norm.emplace(), name + ".self_attn.k_norm", config_.head_dim);
    }
    bind_linear(attention.o_proj, {{name + ".self_attn.o_proj", hidden_size}}, query_size,
                config_.attention_output_bias);
    bind_norm(layer.post_attention_layernorm, name + ".post_attention_layernorm", hidden_size);
    bind_linear(layer.mlp.gate_up_proj,
                stacked(name, names_.gate_up_proj,
                        std::array{config_.intermediate_size, config_.intermediate_size}),
                hidden_size, config_.mlp_bias);
    bind_linear(layer.mlp.down_proj, {{name + ".mlp.down_proj", hidden_size}},
                config_.intermediate_size, config_.mlp_bias);
  }

  /// The parts of one product: tensors of their own, or one that holds them all.
  template <size_t kNumParts>
  static std::vector<StackedRows> stacked(const std::string& layer,
                                          const std::array<std::string_view, kNumParts>& names,
                                          const std::array<int64_t, kNumParts>& num_rows) {
    std::vector<StackedRows> parts;
    for (size_t i = 0; i < kNumParts; ++i) {
      if (names[i].empty()) {
        parts.back().num_rows += num_rows[i];
      } else {
        parts.push_back({fmt::format("{}.{}", layer, names[i]), num_rows[i]});
      }
    }
    return parts;
  }

  void bind_norm(RmsNorm& norm, const std::string& name, int64_t size) {
    norm.eps = config_.rms_norm_eps;
    loader_.bind(norm.weight, name + ".weight", {size});
  }

  /// @param parts  projections of the same input, by name and output features
  void bind_linear(Linear& linear, const std::vector<StackedRows>& parts, int64_t in_features,
                   bool has_bias) {
    const auto with_suffix = [&](const char* suffix) {
      auto named = parts;
      for (auto& part : named) part.name += suffix;
      return named;
    };
    if (config_.checkpoint_quantization) {
      loader_.bind_word_packed_rows(linear.weight, linear.input_order, parts, in_features,
                                    *config_.checkpoint_quantization);
    } else {
      bind_weight(linear.weight, with_suffix(".weight"), in_features, quantization_,
                  wants_blocked_);
    }
    if (has_bias) {
      loader_.bind_rows(linear.bias.emplace(), with_suffix(".bias"));
    } else if (config_.checkpoint_quantization) {
      // Older GPTQ folders have a bias of zeros for each projection that has none.
      for (const auto& part : parts) loader_.tolerate_zeros(part.name + ".bias", {part.num_rows});
    }
  }

  void bind_weight(Weight& weight, const std::vector<StackedRows>& parts, int64_t in_features,
                   const std::optional<Quantization>& quantization,
                   const WeightLoader::WantsBlocked& wants_blocked = {}) {
    if (quantization) {
      loader_.bind_quantized_rows(weight, parts, in_features, *quantization);
    } else {
      loader_.bind_rows(weight, parts, in_features, wants_blocked);
    }
  }

  const ModelConfig& config_;
  const StackedNames& names_;
  const std::optional<Quantization>& quantization_;
  WeightLoader::WantsBlocked wants_blocked_;
  WeightLoader& loader_;
};

bool rounds(Activations activations) { return activations != Activations::kAsComputed; }

/// @param formats  of the products' weights
void check_rounding(Activations activations, const std::vector<PackedFormat>& formats) {
  if (formats.empty()) {
    throw InvalidArgument(
        "quantization: activations are quantized for quantized weights, and the model has none");
  }
  if (activations == Activations::kInt8 &&
      std::ranges::none_of(formats, &PackedFormat::has_int8_products)) {
    throw InvalidArgument(
        "quantization: activations of int8 are for weights that share a scale by 32 and more, and "
        "the model has none");
  }
}

/// A decoder whose weights are bound to those of a checkpoint, and yet to be loaded.
class BoundDecoder {
 public:
  BoundDecoder(const ModelConfig& config, Checkpoint checkpoint, DType dtype,
               const LoadOptions& options)
      : checkpoint_(std::move(checkpoint)),
        loader_(checkpoint_, to_scalar_type(dtype), options.device),
        layout_(options.weight_layout),
        decoder_(std::make_shared<Model::Decoder>(
            Rope(config.rope, config.rotary_dim, options.device))) {
    decoder_->layers.resize(static_cast<size_t>(config.num_layers));
    const auto wants_blocked = [this](const at::Tensor& weight) {
      return layout_.wants_blocked(weight);
    };
    const bool has_embeddings = !config.tie_word_embeddings ||
                                checkpoint_.find(kLmHead) == nullptr ||
                                checkpoint_.find_model_tensor(kEmbeddings) != nullptr;
    DecoderBinder(config, options.quantization, wants_blocked, loader_)
        .bind(*decoder_, has_embeddings);
    if (rounds(options.activations)) {
      check_rounding(options.activations, loader_.product_formats());
    }
    if (options.weight_layout == WeightLayout::kBlocked && !loader_.has_weights_to_block()) {
      throw InvalidArgument(fmt::format(
          "weight layout: no product's weight is of the dtype computed in, {}", to_string(dtype)));
    }
  }

  int64_t nbytes() const { return loader_.nbytes(); }

  std::shared_ptr<Model::Decoder> load() {
    loader_.load();
    return decoder_;
  }

 private:
  Checkpoint checkpoint_;
  WeightLoader loader_;
  LayoutChoice layout_;
  std::shared_ptr<Model::Decoder> decoder_;
};

/// @param config  is corrected where the checkpoint says otherwise
BoundDecoder bind_decoder(ModelConfig& config, const std::filesystem::path& path, DType dtype,
                          const LoadOptions& options) {
  auto checkpoint = Checkpoint::open(path);
  config.tie_word_embeddings = ties_embeddings(config, checkpoint);
  return {config, std::move(checkpoint), dtype, options};
}

DType compute_dtype(const ModelConfig& config, const LoadOptions& options) {
  return options.dtype.value_or(default_dtype(config, options.device));
}

/// What is known of forced blocked weights before the checkpoint is.
void check_layout(const LoadOptions& options, const ModelConfig& config) {
  if (options.weight_layout != WeightLayout::kBlocked) return;
  if (!options.device.is_cpu()) {
    throw InvalidArgument(fmt::format(
        "weight layout: weights are blocked on the CPU only, not on {}", options.device.str()));
  }
  const auto dtype = compute_dtype(config, options);
  if (!has_blocked_products(to_scalar_type(dtype))) {
    throw InvalidArgument(
        fmt::format("weight layout: on this CPU there are no products of blocked weights in {}",
                    to_string(dtype)));
  }
}

/// A GPU's products of integers are of weights that have one scale a row, which no file has.
void check_gpu_activations(const LoadOptions& options) {
  if (options.activations == Activations::kInt16) {
    throw InvalidArgument(fmt::format(
        "quantization: activations of int16 are for the CPU, not for {}", options.device.str()));
  }
  const bool is_int8 = options.quantization && options.quantization->bits == 8;
  if (options.activations == Activations::kInt8 && !is_int8) {
    throw InvalidArgument(
        fmt::format("quantization: on {} activations of int8 are for weights that are quantized to "
                    "int8 as they are loaded",
                    options.device.str()));
  }
}

void check(const LoadOptions& options, const ModelConfig& config) {
  check_layout(options, config);
  if (options.quantization) options.quantization->validate();
  if (!options.device.is_cpu()) check_gpu_activations(options);
  if (!options.quantization) return;
  if (config.checkpoint_quantization) {
    throw InvalidArgument(fmt::format("quantization: the model's weights are quantized already: {}",
                                      to_string(*config.checkpoint_quantization)));
  }
}

void round_inputs(Model::Decoder& decoder, Activations activations) {
  std::vector<Linear*> products = {&decoder.lm_head};
  for (auto& layer : decoder.layers) {
    const auto of_layer = products_of(layer);
    products.insert(products.end(), of_layer.begin(), of_layer.end());
  }
  for (auto* product : products) {
    auto* quantized = std::get_if<QuantizedWeight>(&product->weight);
    if (quantized != nullptr) quantized->activations = activations;
  }
}

}  // namespace

Model load_model(const std::filesystem::path& path, const LoadOptions& options) {
  auto config = load_model_config(path);
  check(options, config);
  const auto dtype = compute_dtype(config, options);
  auto decoder = with_own_errors([&] { return bind_decoder(config, path, dtype, options).load(); });
  if (config.tie_word_embeddings) decoder->lm_head.weight = decoder->embed_tokens;
  if (rounds(options.activations)) round_inputs(*decoder, options.activations);
  return {std::move(config),  dtype, options.device, std::move(decoder), options.quantization,
          options.activations};
}

int64_t weight_bytes(const std::filesystem::path& path, const LoadOptions& options) {
  auto config = load_model_config(path);
  check(options, config);
  return bind_decoder(config, path, compute_dtype(config, options), options).nbytes();
}

}  // namespace prepack
