#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Llama with a sliding window on every layer, which releases after the first have as null.
/// Ref: Mistral 7B (arXiv:2310.06825); transformers MistralConfig
ModelConfig read_mistral_config(const ConfigReader& config) {
  auto result =
      read_common_config(config, {.num_kv_heads = 8, .max_position_embeddings = 4096 * 32});
  if (config.has("layer_types")) {
    config.fail("layer_types", "not supported: the layers of this architecture are alike");
  }
  const auto every_layer = [](int64_t) { return true; };
  set_sliding_windows(config, read_sliding_window(config, 4096), every_layer, result);
  return result;
}

}  // namespace

constinit const Family kMistral = {"MistralForCausalLM", "mistral", read_mistral_config};

}  // namespace prepack
