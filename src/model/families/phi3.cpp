#include <variant>

#include "model/families/common.h"
#include "model/families/family.h"

namespace prepack {
namespace {

/// Without this key transformers takes 4096, whatever stands inside rope_scaling; every release has
/// it, so that a file without it is more likely wrong than meant so.
void check_original_context(const ConfigReader& config, const RopeConfig& rope) {
  constexpr auto kKey = "original_max_position_embeddings";
  if (std::holds_alternative<LongRopeScaling>(rope.scaling) && !config.has(kKey)) {
    config.fail(kKey, "is missing, which longrope needs beside rope_scaling");
  }
}

/// Phi-3, Phi-3.5 and Phi-4: Llama whose checkpoints stack the projections, with a window on every
/// layer or none, and of which Phi-4-mini rotates a part of each head.
/// Ref: Phi-3 (arXiv:2404.14219); transformers Phi3Config
ModelConfig read_phi3_config(const ConfigReader& config) {
  auto result = read_common_config(config, {.max_position_embeddings = 4096,
                                            .rms_norm_eps = 1e-5,
                                            .eos_token_id = 32000,
                                            .rotates_part_of_heads = true});
  set_window_of_all_layers(config, std::nullopt, result);
  check_original_context(config, result.rope);
  return result;
}

}  // namespace

constinit const Family kPhi3 = {
    "Phi3ForCausalLM",
    "phi3",
    read_phi3_config,
    {.qkv_proj = {"self_attn.qkv_proj"}, .gate_up_proj = {"mlp.gate_up_proj"}}};

}  // namespace prepack
