#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "weights/mapped_file.h"
#include "weights/tensor_info.h"

namespace prepack {

/// One tensor of a checkpoint, where it lies on disk.
struct StoredTensor {
  TensorInfo info;
  std::shared_ptr<const MappedFile> file;  // keeps `bytes` valid

  /// Of how many attention heads the rows are stored as pairs of neighbours, as a GGUF of Llama has
  /// queries and keys: row 2 i + h of a head is row i + h * head_dim / 2 of the tensor. 0: rows are
  /// in order.
  int64_t num_interleaved_heads = 0;

  std::span<const std::byte> bytes() const {
    return file->bytes().subspan(info.begin, info.end - info.begin);
  }

  /// Lets the system read all of it ahead.
  void prefetch() const { file->prefetch(info.begin, info.end); }

  /// Lets the system know that rows of it will be read, and not all of it.
  void expect_parts() const { file->expect_parts(info.begin, info.end); }

  /// Gives its pages back; they are read from the file again when they are needed.
  void release() const { file->release(info.begin, info.end); }
};

/// Whether two tensors have one dtype and shape, and the same numbers, bit for bit. Their pages are
/// given back as they are read.
bool holds_same(const StoredTensor& a, const StoredTensor& b);

/// The tensors of a model by name. Opening one reads the headers only.
class Checkpoint {
 public:
  using Tensors = std::map<std::string, StoredTensor, std::less<>>;

  /// Opens a model: its folder, or a GGUF file.
  /// @throws LoadError as the two below do
  static Checkpoint open(const std::filesystem::path& model);

  /// Opens a model folder: model.safetensors, else the shards of model.safetensors.index.json, else
  /// the file that older GPTQ folders have.
  /// @throws LoadError naming what is missing or corrupt; for a folder that holds PyTorch's older
  ///         format only, with the command that converts it
  static Checkpoint open_folder(const std::filesystem::path& folder);

  /// Opens one safetensors file.
  static Checkpoint open_file(const std::filesystem::path& path);

  /// Opens a GGUF file; its tensors have the names that they have in a model folder.
  /// @throws LoadError naming the file and the tensor
  static Checkpoint open_gguf_file(const std::filesystem::path& path);

  const Tensors& tensors() const { return tensors_; }

  /// nullptr if there is none of that name.
  const StoredTensor* find(std::string_view name) const;

  /// The same for a name as the full model gives it, with "model." first, which exports of the base
  /// model alone leave out.
  const StoredTensor* find_model_tensor(std::string_view name) const;

  /// The file, or the index of the files, that says what tensors there are.
  const std::filesystem::path& source() const { return source_; }

  /// "GGUF" or "safetensors".
  std::string_view format() const { return is_gguf_ ? "GGUF" : "safetensors"; }

  /// What the model is called by in messages: its folder, or its GGUF file.
  std::filesystem::path model() const { return is_gguf_ ? source_ : source_.parent_path(); }

 private:
  Checkpoint() = default;
  static Checkpoint open_index(const std::filesystem::path& index_path);

  Tensors tensors_;
  std::filesystem::path source_;
  bool is_gguf_ = false;
};

}  // namespace prepack
