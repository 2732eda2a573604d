#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weights/gguf_metadata.h"

namespace prepack::testing {

/// A GGUF file byte by byte, right or wrong: pairs and tensors are counted as they are added.
class GgufWriter {
 public:
  template <std::unsigned_integral T>
  static std::string number(T value) {
    std::string bytes;
    for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
    return bytes;
  }
  static std::string number(float value) { return number(std::bit_cast<uint32_t>(value)); }
  static std::string string(std::string_view text) {
    return number(uint64_t{text.size()}).append(text);
  }

  GgufWriter& pair(std::string_view key, GgufType type, const std::string& value) {
    pairs_ += string(key) + number(static_cast<uint32_t>(type)) + value;
    ++num_pairs_;
    return *this;
  }
  GgufWriter& text(std::string_view key, std::string_view value) {
    return pair(key, GgufType::kString, string(value));
  }
  GgufWriter& integer(std::string_view key, uint32_t value) {
    return pair(key, GgufType::kUint32, number(value));
  }
  GgufWriter& real(std::string_view key, float value) {
    return pair(key, GgufType::kFloat32, number(value));
  }
  GgufWriter& boolean(std::string_view key, bool value) {
    return pair(key, GgufType::kBool, std::string(1, value ? '\1' : '\0'));
  }
  GgufWriter& array(std::string_view key, GgufType type, uint64_t count,
                    const std::string& elements) {
    return pair(key, GgufType::kArray,
                number(static_cast<uint32_t>(type)) + number(count) + elements);
  }
  GgufWriter& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string elements;
    for (const auto& value : values) elements += string(value);
    return array(key, GgufType::kString, values.size(), elements);
  }
  GgufWriter& integers(std::string_view key, const std::vector<uint32_t>& values) {
    std::string elements;
    for (const auto value : values) elements += number(value);
    return array(key, GgufType::kInt32, values.size(), elements);
  }

  /// @param dimensions  the innermost first, as the format has them
  /// @param type        ggml's number
  GgufWriter& tensor_at(std::string_view name, const std::vector<uint64_t>& dimensions,
                        uint32_t type, uint64_t offset) {
    tensors_ += string(name) + number(static_cast<uint32_t>(dimensions.size()));
    for (const auto size : dimensions) tensors_ += number(size);
    tensors_ += number(type) + number(offset);
    ++num_tensors_;
    return *this;
  }
  /// The same, behind the data so far.
  GgufWriter& tensor(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                     const std::string& data) {
    data_.resize((data_.size() + 31) / 32 * 32);
    tensor_at(name, dimensions, type, data_.size());
    data_ += data;
    return *this;
  }

  std::string bytes(uint32_t version = 3) const {
    auto file =
        "GGUF" + number(version) + number(num_tensors_) + number(num_pairs_) + pairs_ + tensors_;
    file.resize((file.size() + 31) / 32 * 32);
    return file + data_;
  }

 private:
  uint64_t num_pairs_ = 0;
  uint64_t num_tensors_ = 0;
  std::string pairs_;
  std::string tensors_;
  std::string data_;
};

}  // namespace prepack::testing
