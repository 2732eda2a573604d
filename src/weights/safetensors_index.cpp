#include "weights/safetensors_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "weights/json.h"

namespace prepack {
namespace {

/// By its spelling only: the files themselves may be symbolic links, as they are in Hugging Face's
/// cache, where the contents lie elsewhere.
bool stays_in_folder(const std::string& shard) {
  if (shard.empty() || shard.find('\0') != std::string::npos) return false;
  const std::filesystem::path path(shard);
  return !path.is_absolute() && std::find(path.begin(), path.end(), "..") == path.end();
}

}  // namespace

WeightMap parse_safetensors_index(std::string_view json_text, const std::string& source) {
  const nlohmann::json index = parse_json(json_text, source);
  const auto fail = [&](const std::string& problem) {
    throw LoadError(fmt::format("{}: {}", source, problem));
  };
  if (!index.is_object()) fail("expected an object, got " + describe(index));
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end()) fail("weight_map is missing");
  if (!weight_map->is_object())
    fail("weight_map: expected an object, got " + describe(*weight_map));

  WeightMap result;
  for (const auto& [name, shard] : weight_map->items()) {
    if (!shard.is_string()) {
      fail(fmt::format("{}: expected a file name, got {}", printable(name), describe(shard)));
    }
    const auto& file = shard.get_ref<const std::string&>();
    if (!stays_in_folder(file)) {
      fail(fmt::format("{}: the shard \"{}\" is not a file in this folder", printable(name),
                       printable(file)));
    }
    result.emplace(name, file);
  }
  if (result.empty()) fail("weight_map: expected at least one tensor, got none");
  return result;
}

}  // namespace prepack
