#pragma once

#include <map>
#include <string>
#include <string_view>

namespace prepack {

/// Tensor name -> file that holds it, relative to the index.
using WeightMap = std::map<std::string, std::string, std::less<>>;

/// Reads model.safetensors.index.json, which says what shard each tensor of a large model is in.
/// @throws LoadError naming the source and the tensor; also for a shard that would lie outside the
///         index's folder
WeightMap parse_safetensors_index(std::string_view json_text, const std::string& source);

}  // namespace prepack
