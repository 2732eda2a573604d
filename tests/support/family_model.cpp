#include "support/family_model.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "model/families/family.h"
#include "support/program.h"
#include "support/random.h"
#include "support/safetensors_writer.h"
#include "support/tiny_model.h"

namespace prepack::testing {
namespace {

class TensorList {
 public:
  void add(std::string name, std::vector<int64_t> shape) {
    tensors_.push_back({std::move(name), std::move(shape)});
  }

  /// @param names     of the parts of one product; a part without a name is stacked on the one
  ///                  before it
  /// @param num_rows  of each part
  void add_product(const std::string& layer, std::span<const std::string_view> names,
                   const std::vector<int64_t>& num_rows, int64_t num_columns, bool has_bias) {
    for (size_t i = 0; i < names.size();) {
      const auto name = fmt::format("{}.{}", layer, names[i]);
      int64_t rows = num_rows[i++];
      while (i < names.size() && names[i].empty()) rows += num_rows[i++];
      add(name + ".weight", {rows, num_columns});
      if (has_bias) add(name + ".bias", {rows});
    }
  }

  std::vector<TensorShape> take() { return std::move(tensors_); }

 private:
  std::vector<TensorShape> tensors_;
};

void add_layer(const ModelConfig& config, const std::string& name, TensorList& tensors) {
  const auto& names = family_of(config.architecture).names;
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  const int64_t mlp_size = config.intermediate_size;
  constexpr std::string_view kOutput[] = {"self_attn.o_proj"};
  constexpr std::string_view kDown[] = {"mlp.down_proj"};
  tensors.add(name + ".input_layernorm.weight", {config.hidden_size});
  tensors.add_product(name, names.qkv_proj, {query_size, key_size, key_size}, config.hidden_size,
                      config.qkv_bias);
  if (config.qk_norm) {
    tensors.add(name + ".self_attn.q_norm.weight", {config.head_dim});
    tensors.add(name + ".self_attn.k_norm.weight", {config.head_dim});
  }
  tensors.add_product(name, kOutput, {config.hidden_size}, query_size,
                      config.attention_output_bias);
  tensors.add(name + ".post_attention_layernorm.weight", {config.hidden_size});
  tensors.add_product(name, names.gate_up_proj, {mlp_size, mlp_size}, config.hidden_size,
                      config.mlp_bias);
  tensors.add_product(name, kDown, {config.hidden_size}, mlp_size, config.mlp_bias);
}

/// Large enough that tokens matter to each other, small enough that logits stay below ten or so.
float random_weight(Random& random, const TensorShape& tensor) {
  const double number = random.normal();
  if (tensor.name.ends_with("norm.weight")) return static_cast<float>(1 + 0.2 * number);
  if (tensor.name.ends_with("bias")) return static_cast<float>(0.3 * number);
  return static_cast<float>(1.5 / std::sqrt(static_cast<double>(tensor.shape[1])) * number);
}

}  // namespace

int64_t TensorShape::numel() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<TensorShape> checkpoint_tensors(const ModelConfig& config) {
  TensorList tensors;
  tensors.add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  for (int64_t i = 0; i < config.num_layers; ++i) {
    add_layer(config, fmt::format("model.layers.{}", i), tensors);
  }
  tensors.add("model.norm.weight", {config.hidden_size});
  if (!config.tie_word_embeddings) {
    tensors.add("lm_head.weight", {config.vocab_size, config.hidden_size});
  }
  return tensors.take();
}

nlohmann::json resized_config(const std::filesystem::path& folder, const ModelSizes& sizes) {
  auto config = nlohmann::json::parse(read_file(folder / "config.json"));
  for (const auto* key : {"layer_types", "no_rope_layers"}) {
    if (!config.contains(key)) continue;
    const auto of_layers = config[key];
    config[key].clear();
    for (int64_t i = 0; i < sizes.num_layers; ++i) {
      config[key].push_back(of_layers[static_cast<size_t>(i) % of_layers.size()]);
    }
  }
  config.update({{"vocab_size", sizes.vocab_size},
                 {"hidden_size", sizes.hidden_size},
                 {"intermediate_size", sizes.intermediate_size},
                 {"num_hidden_layers", sizes.num_layers},
                 {"num_attention_heads", sizes.num_heads},
                 {"num_key_value_heads", sizes.num_kv_heads},
                 {"head_dim", sizes.head_dim}});
  return config;
}

void write_config(const std::filesystem::path& folder, const nlohmann::json& config) {
  write_file(folder / "config.json", config.dump());
  for (const auto* file : {"tokenizer.json", "tokenizer_config.json"}) {
    std::filesystem::copy_file(std::filesystem::path(kModel) / file, folder / file);
  }
}

nlohmann::json config_in_whole_groups(const std::filesystem::path& folder) {
  const auto config = in_whole_groups(load_model_config(folder));
  return resized_config(folder, {.vocab_size = config.vocab_size,
                                 .hidden_size = config.hidden_size,
                                 .intermediate_size = config.intermediate_size,
                                 .num_layers = config.num_layers,
                                 .num_heads = config.num_heads,
                                 .num_kv_heads = config.num_kv_heads,
                                 .head_dim = config.head_dim});
}

void write_random_model(const std::filesystem::path& folder, const nlohmann::json& config) {
  write_config(folder, config);
  Random random(17);
  std::map<std::string, TensorToWrite> tensors;
  for (const auto& tensor : checkpoint_tensors(load_model_config(folder))) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    for (float& value : values) value = random_weight(random, tensor);
    tensors[tensor.name] = {"F32", tensor.shape, bytes_of(values)};
  }
  write_file(folder / "model.safetensors", aligned_safetensors_bytes(tensors));
}

}  // namespace prepack::testing
