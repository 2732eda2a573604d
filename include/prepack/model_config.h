#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "prepack/checkpoint_quantization.h"
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

/// In a sequence longer than the original context a larger theta, which grows with the sequence.
/// Ref: transformers modeling_rope_utils, "dynamic".
struct DynamicRopeScaling {
  double factor;
  int64_t original_max_position_embeddings;  // max_position_embeddings of config.json
};

/// Low frequencies divided by `factor`, high ones kept, a linear ramp between, and logits scaled.
/// Ref: YaRN (arXiv:2309.00071); transformers modeling_rope_utils, "yarn".
struct YarnRopeScaling {
  double factor;
  double attention_factor;  // of cosines and sines
  double beta_fast;         // turns in the original context from which on frequencies are kept
  double beta_slow;         // turns up to which they are divided
  bool truncate;            // the ramp begins and ends at whole pairs of dimensions
  int64_t original_max_position_embeddings;
};

/// Each frequency divided by a factor of its own, by others in sequences longer than the original
/// context. Ref: LongRoPE (arXiv:2402.13753); transformers modeling_rope_utils, "longrope".
struct LongRopeScaling {
  std::vector<double> short_factor;  // [rotated dimensions / 2]
  std::vector<double> long_factor;   // [rotated dimensions / 2]
  double attention_factor;           // of cosines and sines
  int64_t original_max_position_embeddings;
};

/// Each frequency divided by a factor of its own: how GGUF has what other files have as "llama3".
/// Ref: llama.cpp, the tensor rope_freqs.weight
struct FrequencyFactors {
  std::vector<double> factors;  // [rotated dimensions / 2]
};

/// Rotary position embedding. std::monostate: the default type, no scaling.
///
/// Two types depend on the sequence's length. Each sequence has the frequencies of its own: in a
/// prefill those of the whole prompt's length, in a decode step those of its length by then. Keys
/// in the cache keep the frequencies they were written with, as in transformers; only Phi-3's own
/// class there means to compute a sequence anew when it outgrows the original context, which is not
/// done here.
struct RopeConfig {
  double theta = 10000.0;
  std::variant<std::monostate, LinearRopeScaling, Llama3RopeScaling, DynamicRopeScaling,
               YarnRopeScaling, LongRopeScaling, FrequencyFactors>
      scaling;

  bool depends_on_length() const {
    return std::holds_alternative<DynamicRopeScaling>(scaling) ||
           std::holds_alternative<LongRopeScaling>(scaling);
  }
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
      0;                   // divides num_heads; each is shared by num_heads / num_kv_heads queries
  int64_t head_dim = 0;    // even; need not be hidden_size / num_heads
  int64_t rotary_dim = 0;  // even; the first dimensions of each head, which RoPE turns
  int64_t max_position_embeddings = 0;  // tokens of a sequence at most: as config.json says, or
                                        // more where dynamic or yarn reach further
  double rms_norm_eps = 0;
  RopeConfig rope;
  bool tie_word_embeddings = false;  // lm_head shares the weight of embed_tokens
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // an RMS norm of each query and key head, before RoPE

  /// Of how many keys up to its own a query attends to the last, per layer; nullopt: of all.
  /// Empty if no layer has such a window.
  std::vector<std::optional<int64_t>> sliding_windows;  // [num_layers]

  /// Whether queries and keys are turned by their positions. Empty if they are in all layers.
  std::vector<bool> rope_layers;  // [num_layers]

  DType dtype = DType::kFloat32;  // of the stored weights, as config.json says; bfloat16 of those
                                  // of a GGUF file that are quantized
  std::optional<CheckpointQuantization>
      checkpoint_quantization;         // of a GPTQ or AWQ folder: of its layers' products
  bool has_quantized_tensors = false;  // whether any tensor of a GGUF file is
  std::optional<TokenId> bos_token_id;
  std::vector<TokenId> eos_token_ids;  // generation ends at any of these; may be empty

  std::optional<int64_t> sliding_window(int64_t layer) const {
    return sliding_windows.empty() ? std::nullopt : sliding_windows[layer];
  }

  bool has_rope(int64_t layer) const { return rope_layers.empty() || rope_layers[layer]; }

  /// Windows of the layers, each length once, from the shortest on.
  std::vector<int64_t> distinct_windows() const;

  /// Parameters of the whole model; a tied embedding counts once.
  int64_t num_parameters() const;
};

/// Reads config.json in the spelling of transformers 5 (rope_parameters, dtype) or of earlier
/// versions (rope_theta, rope_scaling, torch_dtype), and the EOS ids of generation_config.json,
/// which take precedence.
/// Of a GGUF file it reads the metadata instead.
/// @param model  a Hugging Face folder, or a GGUF file
/// Of a GPTQ folder without the key quantization_config it reads quantize_config.json too.
/// @throws LoadError naming the file and the key: missing, of the wrong type, or out of range; an
///         architecture, activation, rope type or packed format that is not supported is named too
ModelConfig load_model_config(const std::filesystem::path& model);

/// The same for the text of a config.json; `source` names it in errors.
ModelConfig parse_model_config(std::string_view json_text, const std::string& source);

}  // namespace prepack
