#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weights/gguf_metadata.h"
#include "weights/mapped_file.h"
#include "weights/tensor_info.h"

namespace prepack {

/// What a GGUF file's header says. Its metadata refers to the file's bytes.
struct GgufHeader {
  uint32_t version;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;  // under the file's own names, in the order of their bytes
};

/// Reads and verifies the header of a GGUF file, version 2 or 3, little endian: magic, version,
/// counts, key-value pairs, then name, dimensions, type and place of each tensor.
/// @param file    the whole file, which must outlive the result; only the header is read
/// @param source  names the file in errors
/// @throws LoadError naming the file and the key or tensor
/// Ref: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& source);

/// A GGUF file and its header.
struct GgufFile {
  std::shared_ptr<const MappedFile> file;
  GgufHeader header;
};

/// @throws LoadError also if the file cannot be read
GgufFile open_gguf(const std::filesystem::path& path);

/// Whether a model's path is that of a file, which can only be a GGUF file, and not of a folder.
bool names_gguf(const std::filesystem::path& model);

}  // namespace prepack
