#pragma once

#include <cstdint>
#include <string_view>

namespace prepack {

/// Element types of weights, caches and activations.
enum class DType { kFloat32, kBFloat16, kFloat16 };

/// "float32", "bfloat16" or "float16".
std::string_view to_string(DType dtype);

/// Reads the names used by Hugging Face configs and the command line: "float32", "bfloat16",
/// "float16", each also with the prefix "torch.".
/// @throws InvalidArgument for any other name
DType parse_dtype(std::string_view name);

/// Bytes of one element.
int64_t element_size(DType dtype);

}  // namespace prepack
