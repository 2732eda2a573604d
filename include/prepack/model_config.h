#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "prepack/dtype.h"
#include "prepack/token.h"

namespace prepack {

/// Positions divided by `factor`. Ref: transformers modeling_rope_utils, "linear".
struct LinearRopeScaling {
  double factor;
};

/// Low frequencies divided by `factor`, high ones kept, a smooth ramp between.
/// Ref: transformers modeling_rope_utils, "llama3".
struct Llama3RopeScaling {
  double factor;
  double low_freq_factor;
  double high_freq_factor;
  int64_t original_max_position_embeddings;
};

/// Each frequency divided by a factor of its own: how GGUF has what other files have as "llama3".
/// Ref: llama.cpp, the tensor rope_freqs.weight
struct FrequencyFactors {
  std::vector<double> factors;  // [head_dim / 2]
};

/// Rotary position embedding. std::monostate: the default type, no scaling.
struct RopeConfig {
  double theta = 10000.0;
  std::variant<std::monostate, LinearRopeScaling, Llama3RopeScaling, FrequencyFactors> scaling;
};

/// The shape of a Llama-style decoder, whatever spelling its config.json used.
struct ModelConfig {
  std::string architecture;  // as config.json names it: "LlamaForCausalLM"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;  // query heads
  int64_t num_kv_heads =
      0;                 // divides num_heads; each is shared by num_heads / num_kv_heads queries
  int64_t head_dim = 0;  // even; need not be hidden_size / num_heads
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 0;
  RopeConfig rope;
  bool tie_word_embeddings = false;  // lm_head shares the weight of embed_tokens
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  DType dtype = DType::kFloat32;  // of the stored weights, as config.json says; bfloat16 of those
                                  // of a GGUF file that are quantized
  std::optional<TokenId> bos_token_id;
  std::vector<TokenId> eos_token_ids;  // generation ends at any of these; may be empty

  /// Parameters of the whole model; a tied embedding counts once.
  int64_t num_parameters() const;
};

/// Reads config.json in the spelling of transformers 5 (rope_parameters, dtype) or of earlier
/// versions (rope_theta, rope_scaling, torch_dtype), and the EOS ids of generation_config.json,
/// which take precedence.
/// Of a GGUF file it reads the metadata instead.
/// @param model  a Hugging Face folder, or a GGUF file
/// @throws LoadError naming the file and the key: missing, of the wrong type, or out of range; an
///         architecture, activation or rope type that is not supported is named too
ModelConfig load_model_config(const std::filesystem::path& model);

/// The same for the text of a config.json; `source` names it in errors.
ModelConfig parse_model_config(std::string_view json_text, const std::string& source);

}  // namespace prepack
