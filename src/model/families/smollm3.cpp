#include <fmt/format.h>

#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Which layers have RoPE: the key no_rope_layers lists 1 for those that do, in spite of its name;
/// without it every fourth layer, or what no_rope_layer_interval says, has none.
std::vector<bool> read_rope_layers(const ConfigReader& config, int64_t num_layers) {
  constexpr auto kKey = "no_rope_layers";
  const int64_t interval = config.integer("no_rope_layer_interval", {1, 1 << 14}, 4);
  const auto given = config.integers(kKey, {0, 1});
  if (given && std::ssize(*given) < num_layers) {
    config.fail(
        kKey, fmt::format("expected one for each of {} layers, got {}", num_layers, given->size()));
  }
  std::vector<bool> has_rope;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    has_rope.push_back(given ? (*given)[layer] != 0 : (layer + 1) % interval != 0);
  }
  return has_rope;
}

/// Llama with layers that have no RoPE, and may have a window instead.
/// Ref: Yang et al. (arXiv:2501.18795), RNoPE; transformers SmolLM3Config
ModelConfig read_smollm3_config(const ConfigReader& config) {
  auto result = read_common_config(config, {.num_kv_heads = 4,
                                            .max_position_embeddings = 32768,
                                            .rope_theta = 2000000.0,
                                            .tie_word_embeddings = true,
                                            .eos_token_id = 128001});
  read_attention_bias(config, result);
  result.mlp_bias = config.boolean("mlp_bias", false);
  result.rope_layers = read_rope_layers(config, result.num_layers);
  const bool uses_window = config.boolean("use_sliding_window", false);
  set_sliding_windows(
      config, read_sliding_window(config, std::nullopt),
      [&](int64_t layer) { return uses_window && !result.rope_layers[layer]; }, result);
  return result;
}

}  // namespace

constinit const Family kSmolLM3 = {"SmolLM3ForCausalLM", "smollm3", read_smollm3_config};

}  // namespace prepack
