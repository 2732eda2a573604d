#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "weights/tensor_info.h"

namespace prepack {

/// Reads and verifies the header of a safetensors file: 8 bytes of little-endian length, that many
/// of JSON, then the tensors' bytes, each exactly once.
/// @param file    the whole file; only the header is read
/// @param source  names the file in errors
/// @return the tensors in the order in which their bytes lie in the file
/// @throws LoadError naming the file and the tensor
/// Ref: https://github.com/huggingface/safetensors, "Format"
std::vector<TensorInfo> parse_safetensors(std::span<const std::byte> file,
                                          const std::string& source);

}  // namespace prepack
