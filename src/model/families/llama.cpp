#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Llama 1 to 3, and what follows their form, such as SmolLM2. Ref: transformers LlamaConfig
ModelConfig read_llama_config(const ConfigReader& config) {
  auto result = read_common_config(config, {.max_position_embeddings = 2048, .eos_token_id = 2});
  read_attention_bias(config, result);
  result.mlp_bias = config.boolean("mlp_bias", false);
  return result;
}

}  // namespace

constinit const Family kLlama = {"LlamaForCausalLM", "llama", read_llama_config};

}  // namespace prepack
