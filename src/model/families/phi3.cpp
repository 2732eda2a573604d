#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Phi-3, Phi-3.5 and Phi-4: Llama whose checkpoints stack the projections, with a window on every
/// layer or none, and of which Phi-4-mini rotates a part of each head.
/// Ref: Phi-3 (arXiv:2404.14219); transformers Phi3Config
ModelConfig read_phi3_config(const ConfigReader& config) {
  auto result = read_common_config(
      config,
      {.max_position_embeddings = 4096, .rms_norm_eps = 1e-5, .rotates_part_of_heads = true});
  const auto every_layer = [](int64_t) { return true; };
  set_sliding_windows(config, read_sliding_window(config, std::nullopt), every_layer, result);
  return result;
}

}  // namespace

constinit const Family kPhi3 = {
    "Phi3ForCausalLM",
    "phi3",
    read_phi3_config,
    {.qkv_proj = {"self_attn.qkv_proj"}, .gate_up_proj = {"mlp.gate_up_proj"}}};

}  // namespace prepack
