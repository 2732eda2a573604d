#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Llama with a sliding window on every layer, which releases after the first have as null.
/// Ref: Mistral 7B (arXiv:2310.06825); transformers MistralConfig
ModelConfig read_mistral_config(const ConfigReader& config) {
  auto result = read_common_config(
      config, {.num_kv_heads = 8, .max_position_embeddings = 4096 * 32, .eos_token_id = 2});
  set_window_of_all_layers(config, 4096, result);
  return result;
}

}  // namespace

constinit const Family kMistral = {"MistralForCausalLM", "mistral", read_mistral_config};

}  // namespace prepack
