#pragma once

#include <array>
#include <span>
#include <string_view>

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// What a family's checkpoints call the weights that are one product here, behind
/// "model.layers.N.". One name alone stands for all of them, stacked in this order.
struct StackedNames {
  std::array<std::string_view, 3> qkv_proj = {"self_attn.q_proj", "self_attn.k_proj",
                                              "self_attn.v_proj"};
  std::array<std::string_view, 2> gate_up_proj = {"mlp.gate_proj", "mlp.up_proj"};
};

/// A model family: how config.json names it, how that is read, and how its tensors are named.
struct Family {
  std::string_view architecture;  // "LlamaForCausalLM"
  std::string_view model_type;    // "llama"
  ModelConfig (*read_config)(const ConfigReader& config);
  StackedNames names = {};
};

// One file each.
extern const Family kLlama;
extern const Family kMistral;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kPhi3;
extern const Family kSmolLM3;

/// All of them.
std::span<const Family* const> families();

/// The family of a config that was read. @param architecture  of one of them
const Family& family_of(std::string_view architecture);

}  // namespace prepack
