#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "weights/gguf.h"

namespace prepack {

/// A key of this project's own: whether any tensor is quantized.
constexpr const char* kQuantizedTensors = "has_quantized_tensors";

/// What the config.json of the same model would say, with the EOS ids of generation_config.json, so
/// that each family reads one kind of configuration.
/// @param file  the whole file, of which it reads the factors of RoPE
/// @throws LoadError naming the key of the metadata, or the tensor, that is missing, of another
///         kind than expected, or of a feature that is not supported
/// Ref: llama.cpp's convert_hf_to_gguf.py, which wrote the metadata from a config.json
nlohmann::json gguf_config(const GgufHeader& header, std::span<const std::byte> file);

}  // namespace prepack
