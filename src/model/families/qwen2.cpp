#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Qwen2 and Qwen2.5: Llama with biases of queries, keys and values, and windows in the upper
/// layers. Ref: Qwen2 (arXiv:2407.10671); transformers Qwen2Config
ModelConfig read_qwen2_config(const ConfigReader& config) {
  auto result = read_common_config(config, {.num_kv_heads = 32, .max_position_embeddings = 32768});
  result.qkv_bias = true;
  read_qwen_windows(config, result);
  return result;
}

}  // namespace

constinit const Family kQwen2 = {"Qwen2ForCausalLM", "qwen2", read_qwen2_config};

}  // namespace prepack
