#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Llama with norms of queries and keys, heads of a size of their own, and windows as Qwen2 has.
/// Ref: Qwen3 (arXiv:2505.09388); transformers Qwen3Config
ModelConfig read_qwen3_config(const ConfigReader& config) {
  auto result = read_common_config(
      config, {.num_kv_heads = 32, .head_dim = 128, .max_position_embeddings = 32768});
  result.qk_norm = true;
  read_attention_bias(config, result);
  read_qwen_windows(config, result);
  return result;
}

}  // namespace

constinit const Family kQwen3 = {"Qwen3ForCausalLM", "qwen3", read_qwen3_config};

}  // namespace prepack
