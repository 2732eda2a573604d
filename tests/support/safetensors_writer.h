#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::testing {

/// A tensor to write; `data` are its bytes.
struct TensorToWrite {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string data;
};

/// The raw bytes of a list of values, as a safetensors file stores them.
template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A safetensors file with any header, right or wrong.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) {
    file += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i) & 0xff);
  }
  return file.append(header).append(data);
}

/// A correct safetensors file.
/// @param padding  spaces after the header; the format's writers align the data to 8 bytes by them
inline std::string safetensors_bytes(const std::map<std::string, TensorToWrite>& tensors,
                                     size_t padding = 0) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
    data += tensor.data;
  }
  return safetensors_bytes(header.dump() + std::string(padding, ' '), data);
}

/// The same, padded so that the data lies at a multiple of 8 bytes plus `misalignment`.
inline std::string aligned_safetensors_bytes(const std::map<std::string, TensorToWrite>& tensors,
                                             size_t misalignment = 0) {
  const auto file = safetensors_bytes(tensors);
  size_t data_size = 0;
  for (const auto& [name, tensor] : tensors) data_size += tensor.data.size();
  return safetensors_bytes(tensors, (8 - (file.size() - data_size) % 8 + misalignment) % 8);
}

}  // namespace prepack::testing
