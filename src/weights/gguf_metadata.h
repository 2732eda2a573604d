#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prepack {

/// Types of GGUF's metadata, by the numbers that the format gives them.
enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

/// Bytes of a scalar; 0 for strings and arrays, which have no fixed size.
size_t size_of(GgufType type);

/// One value as it lies in the file, where it was verified to be whole.
struct GgufValue {
  GgufType type;          // of an array: of its elements
  bool is_array = false;  // else `count` is 1
  uint64_t count = 1;
  std::span<const std::byte> bytes;  // of all elements; strings with their lengths
};

/// The key-value pairs of a GGUF file. What reads a value throws LoadError naming file and key if
/// the key is missing or its value is of another kind.
class GgufMetadata {
 public:
  /// @param source  names the file in errors
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}

  /// @returns false if the key is there already
  bool add(std::string_view key, GgufValue value) { return values_.emplace(key, value).second; }

  bool has(std::string_view key) const { return values_.contains(key); }

  // Scalars. Integers and numbers may be of any width.
  int64_t integer(std::string_view key) const;
  int64_t integer(std::string_view key, int64_t absent) const;
  bool boolean(std::string_view key, bool absent) const;
  std::string_view text(std::string_view key) const;
  std::string_view text(std::string_view key, std::string_view absent) const;

  /// The shortest decimal number that is this float32: 1e-05 rather than 9.999999747378752e-06, as
  /// the config.json said that the file was made from.
  double number(std::string_view key) const;

  // Arrays.
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;
  std::vector<float> numbers(std::string_view key) const;

  /// Names the file.
  const std::string& source() const { return source_; }

  [[noreturn]] void fail(std::string_view key, std::string_view problem) const;

 private:
  const GgufValue& find(std::string_view key, bool is_array, std::string_view expected) const;
  int64_t to_integer(std::string_view key, const GgufValue& value, uint64_t index) const;

  std::string source_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

}  // namespace prepack
