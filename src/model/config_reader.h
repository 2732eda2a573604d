#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/dtype.h"
#include "prepack/token.h"

namespace prepack {

/// Values a number may take, both ends included.
struct IntegerRange {
  int64_t min = 1;
  int64_t max;
};
struct NumberRange {
  double min;
  double max;
};

/// Reads the keys of one JSON object. A key whose value is null counts as absent, as it does in
/// transformers. Every error is a LoadError that names the source, the key, what was expected and
/// what was got.
class ConfigReader {
 public:
  /// @param object  must outlive the reader
  /// @param source  e.g. "config.json"; of a nested object "config.json: rope_scaling"
  /// @throws LoadError if it is not an object
  ConfigReader(const nlohmann::json& object, std::string source);

  bool has(const char* key) const { return find(key) != nullptr; }

  /// Whether the key is there with the value null, for the few where that does not mean the
  /// default.
  bool is_null(const char* key) const;

  int64_t integer(const char* key, IntegerRange range) const;
  int64_t integer(const char* key, IntegerRange range, int64_t absent) const;
  double number(const char* key, NumberRange range) const;
  double number(const char* key, NumberRange range, double absent) const;
  bool boolean(const char* key, bool absent) const;
  std::string string(const char* key, std::string absent) const;
  DType dtype(const char* key, DType absent) const;

  /// One integer, or a list of them; nullopt if the key is absent.
  std::optional<std::vector<int64_t>> integers(const char* key, IntegerRange range) const;

  /// As integers, of a vocabulary. An id outside it could never be generated, nor looked up in the
  /// embedding: it means that config and vocabulary do not belong together.
  std::optional<std::vector<TokenId>> token_ids(const char* key, int64_t vocab_size) const;

  /// A list of numbers.
  std::vector<double> numbers(const char* key, NumberRange range) const;

  /// A list of strings; empty if the key is absent.
  std::vector<std::string> strings(const char* key) const;

  /// All keys of the object.
  std::vector<std::string> keys() const;

  /// A nested object; nullopt if the key is absent.
  std::optional<ConfigReader> object(const char* key) const;

  [[noreturn]] void fail(std::string_view key, std::string_view problem) const;

 private:
  const nlohmann::json* find(const char* key) const;
  const nlohmann::json& require(const char* key) const;
  [[noreturn]] void fail_type(const char* key, std::string_view expected,
                              const nlohmann::json& got) const;
  int64_t to_integer(const char* key, IntegerRange range, const nlohmann::json& value) const;
  double to_number(const char* key, NumberRange range, const nlohmann::json& value) const;

  const nlohmann::json* object_;
  std::string source_;
};

}  // namespace prepack
