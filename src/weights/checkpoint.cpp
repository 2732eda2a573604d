#include "weights/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <fstream>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "prepack/error.h"
#include "weights/json.h"
#include "weights/safetensors_index.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at is reported when it is opened
  return fs::exists(path, ignored);
}

std::vector<StoredTensor> open_tensors(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  std::vector<StoredTensor> tensors;
  for (auto& info : parse_safetensors(file->bytes(), path.string())) {
    tensors.push_back({std::move(info), file});
  }
  return tensors;
}

WeightMap read_index(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw LoadError(fmt::format("{}: cannot be read", path.string()));
  return parse_safetensors_index(text, path.string());
}

void check_shards_exist(const std::set<std::string>& shards, const fs::path& index_path) {
  std::vector<std::string> missing;
  for (const auto& shard : shards) {
    if (!is_there(index_path.parent_path() / shard)) missing.push_back(printable(shard));
  }
  if (missing.empty()) return;
  throw LoadError(fmt::format("{}: {} of its {} shards are missing: {}", index_path.string(),
                              missing.size(), shards.size(), fmt::join(missing, ", ")));
}

}  // namespace

Checkpoint Checkpoint::open_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw LoadError(fmt::format("{}: expected a model folder, and there is none", folder.string()));
  }
  if (is_there(folder / "model.safetensors")) return open_file(folder / "model.safetensors");
  const auto index = folder / "model.safetensors.index.json";
  if (is_there(index)) return open_index(index);
  for (const auto* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (is_there(folder / name)) {
      throw LoadError(
          fmt::format("{}: expected model.safetensors, got only {}; to convert it, run: "
                      "scripts/convert_checkpoint.py {}",
                      folder.string(), name, folder.string()));
    }
  }
  throw LoadError(
      fmt::format("{}: expected model.safetensors or model.safetensors.index.json, got neither",
                  folder.string()));
}

Checkpoint Checkpoint::open_file(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.source_ = path;
  for (auto& tensor : open_tensors(path)) {
    auto name = tensor.info.name;
    checkpoint.tensors_.emplace(std::move(name), std::move(tensor));
  }
  return checkpoint;
}

Checkpoint Checkpoint::open_index(const fs::path& index_path) {
  const auto weight_map = read_index(index_path);
  std::set<std::string> shards;
  for (const auto& [name, shard] : weight_map) shards.insert(shard);
  check_shards_exist(shards, index_path);

  Checkpoint checkpoint;
  checkpoint.source_ = index_path;
  for (const auto& shard : shards) {
    for (auto& tensor : open_tensors(index_path.parent_path() / shard)) {
      // Where two shards hold a tensor, the index decides. One that it does not mention is kept:
      // the model may want it, and if not, it will be reported.
      const auto placed = weight_map.find(tensor.info.name);
      if (placed != weight_map.end() && placed->second != shard) continue;
      auto name = tensor.info.name;
      checkpoint.tensors_.insert_or_assign(std::move(name), std::move(tensor));
    }
  }
  for (const auto& [name, shard] : weight_map) {
    if (checkpoint.find(name) == nullptr) {
      throw LoadError(fmt::format("{}: {}: expected in {}, which does not hold it",
                                  index_path.string(), printable(name), printable(shard)));
    }
  }
  return checkpoint;
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace prepack
