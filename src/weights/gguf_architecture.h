#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "weights/gguf.h"

namespace prepack {

/// A model family as GGUF has it, and as Hugging Face has it.
struct GgufArchitecture {
  std::string_view name;          // general.architecture, and the prefix of the family's keys
  std::string_view architecture;  // of config.json

  /// llama.cpp turns neighbouring dimensions by RoPE where transformers pairs dimension i with
  /// i + head_dim / 2; for families that have it so, converters reorder the rows of each query and
  /// key head.
  bool interleaves_heads;
  std::string_view ffn_up = "mlp.up_proj";  // of the tensor that GGUF names ffn_up

  /// Whether the window of attention.sliding_window is on every layer. Files of the other families
  /// have none: what converters leave out, llama.cpp computes without.
  bool slides_everywhere = false;
};

/// The family of a file.
/// @throws LoadError naming general.architecture, if it is none that is supported
const GgufArchitecture& find_architecture(const GgufMetadata& metadata);

/// Hugging Face's name of a tensor: "blk.3.attn_q.weight" is
/// "model.layers.3.self_attn.q_proj.weight". A name that is not known is returned as it is.
std::string hugging_face_name(const GgufArchitecture& architecture, std::string_view gguf_name);

/// Of how many heads the rows of a tensor are interleaved; 0 of those that are in order.
/// @param name  Hugging Face's
int64_t num_interleaved_heads(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                              std::string_view name);

/// Tensors that are no weights but belong to the configuration.
bool is_config_tensor(std::string_view gguf_name);

}  // namespace prepack
