#include "weights/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "prepack/error.h"
#include "weights/gguf.h"
#include "weights/gguf_architecture.h"
#include "weights/json.h"
#include "weights/safetensors.h"
#include "weights/safetensors_index.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;

/// AutoGPTQ once named its one file by what is in it: "gptq_model-4bit-128g.safetensors".
bool is_older_gptq_file(const fs::path& path) {
  return path.filename().string().starts_with("gptq_model-") && path.extension() == ".safetensors";
}

/// Where there is exactly one.
std::optional<fs::path> find_older_gptq_file(const fs::path& folder) {
  std::error_code ignored;
  std::optional<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (!is_older_gptq_file(entry.path())) continue;
    if (found) return std::nullopt;
    found = entry.path();
  }
  return found;
}

bool is_there(const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at is reported when it is opened
  return fs::exists(path, ignored);
}

std::vector<StoredTensor> open_tensors(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  std::vector<StoredTensor> tensors;
  for (auto& info : parse_safetensors(file->bytes(), path.string())) {
    tensors.push_back({std::move(info), file, 0});
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

void check_heads(const StoredTensor& tensor, int64_t num_heads) {
  const auto& info = tensor.info;
  const bool divides = num_heads > 0 && !info.shape.empty() && info.shape[0] % num_heads == 0 &&
                       info.shape[0] / num_heads % 2 == 0;
  if (divides) return;
  throw LoadError(fmt::format(
      "{}: {}: expected rows for {} heads of an even number of dimensions, "
      "got {}",
      tensor.file->path().string(), printable(info.name), num_heads, shape_to_string(info.shape)));
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& model) {
  return names_gguf(model) ? open_gguf_file(model) : open_folder(model);
}

Checkpoint Checkpoint::open_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw LoadError(fmt::format("{}: expected a model folder, and there is none", folder.string()));
  }
  if (is_there(folder / "model.safetensors")) return open_file(folder / "model.safetensors");
  const auto index = folder / "model.safetensors.index.json";
  if (is_there(index)) return open_index(index);
  if (const auto older = find_older_gptq_file(folder)) return open_file(*older);
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

Checkpoint Checkpoint::open_gguf_file(const fs::path& path) {
  auto gguf = open_gguf(path);
  const auto& metadata = gguf.header.metadata;
  const auto& architecture = find_architecture(metadata);
  Checkpoint checkpoint;
  checkpoint.source_ = path;
  checkpoint.is_gguf_ = true;
  for (auto& info : gguf.header.tensors) {
    if (is_config_tensor(info.name)) continue;
    auto name = hugging_face_name(architecture, info.name);
    info.name = name;
    StoredTensor tensor{std::move(info), gguf.file, 0};
    if (const auto heads = num_interleaved_heads(metadata, architecture, name); heads != 0) {
      check_heads(tensor, heads);
      tensor.num_interleaved_heads = heads;
    }
    if (!checkpoint.tensors_.emplace(name, std::move(tensor)).second) {
      throw LoadError(fmt::format("{}: two tensors stand for {}", path.string(), printable(name)));
    }
  }
  return checkpoint;
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const StoredTensor* Checkpoint::find_model_tensor(std::string_view name) const {
  constexpr std::string_view kPrefix = "model.";
  const auto* stored = find(name);
  if (stored != nullptr || !name.starts_with(kPrefix)) return stored;
  return find(name.substr(kPrefix.size()));
}

bool holds_same(const StoredTensor& a, const StoredTensor& b) {
  constexpr size_t kPiece = size_t{16} << 20;
  const auto a_bytes = a.bytes();
  const auto b_bytes = b.bytes();
  if (a.info.dtype != b.info.dtype || a.info.shape != b.info.shape) return false;
  bool is_same = a_bytes.size() == b_bytes.size();
  for (size_t i = 0; is_same && i < a_bytes.size(); i += kPiece) {
    const size_t size = std::min(kPiece, a_bytes.size() - i);
    is_same = std::memcmp(a_bytes.data() + i, b_bytes.data() + i, size) == 0;
    a.release();
    b.release();
  }
  return is_same;
}

}  // namespace prepack
