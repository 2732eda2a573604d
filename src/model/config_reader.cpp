#include "model/config_reader.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "prepack/error.h"
#include "weights/json.h"

namespace prepack {

ConfigReader::ConfigReader(const nlohmann::json& object, std::string source)
    : object_(&object), source_(std::move(source)) {
  if (!object.is_object()) {
    throw LoadError(fmt::format("{}: expected an object, got {}", source_, describe(object)));
  }
}

void ConfigReader::fail(std::string_view key, std::string_view problem) const {
  throw LoadError(fmt::format("{}: {}: {}", source_, key, problem));
}

void ConfigReader::fail_type(const char* key, std::string_view expected,
                             const nlohmann::json& got) const {
  fail(key, fmt::format("expected {}, got {}", expected, describe(got)));
}

const nlohmann::json* ConfigReader::find(const char* key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool ConfigReader::is_null(const char* key) const {
  const auto found = object_->find(key);
  return found != object_->end() && found->is_null();
}

const nlohmann::json& ConfigReader::require(const char* key) const {
  const auto* value = find(key);
  if (value == nullptr) fail(key, "is missing");
  return *value;
}

int64_t ConfigReader::to_integer(const char* key, IntegerRange range,
                                 const nlohmann::json& value) const {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  // nlohmann converts out-of-range values without a word, so look before asking for an int64_t.
  const bool fits =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= kMax);
  const int64_t number = fits ? value.get<int64_t>() : 0;
  if (!fits || number < range.min || number > range.max) {
    fail_type(key, fmt::format("an integer from {} to {}", range.min, range.max), value);
  }
  return number;
}

int64_t ConfigReader::integer(const char* key, IntegerRange range) const {
  return to_integer(key, range, require(key));
}

int64_t ConfigReader::integer(const char* key, IntegerRange range, int64_t absent) const {
  return has(key) ? integer(key, range) : absent;
}

double ConfigReader::to_number(const char* key, NumberRange range,
                               const nlohmann::json& value) const {
  const double number = value.is_number() ? value.get<double>() : 0;
  if (!value.is_number() || !(number >= range.min && number <= range.max)) {
    fail_type(key, fmt::format("a number from {} to {}", range.min, range.max), value);
  }
  return number;
}

double ConfigReader::number(const char* key, NumberRange range) const {
  return to_number(key, range, require(key));
}

double ConfigReader::number(const char* key, NumberRange range, double absent) const {
  return has(key) ? number(key, range) : absent;
}

bool ConfigReader::boolean(const char* key, bool absent) const {
  const auto* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) fail_type(key, "true or false", *value);
  return value->get<bool>();
}

std::string ConfigReader::string(const char* key, std::string absent) const {
  const auto* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_string()) fail_type(key, "a string", *value);
  return value->get<std::string>();
}

DType ConfigReader::dtype(const char* key, DType absent) const {
  const auto* value = find(key);
  if (value == nullptr) return absent;
  if (value->is_string()) {
    try {
      return parse_dtype(value->get_ref<const std::string&>());
    } catch (const InvalidArgument&) {
      // Reported below, where the file and the key are known.
    }
  }
  fail_type(key, "float32, bfloat16 or float16", *value);
}

std::optional<std::vector<int64_t>> ConfigReader::integers(const char* key,
                                                           IntegerRange range) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) return std::vector<int64_t>{to_integer(key, range, *value)};
  std::vector<int64_t> result;
  result.reserve(value->size());
  for (const auto& element : *value) result.push_back(to_integer(key, range, element));
  return result;
}

std::optional<std::vector<TokenId>> ConfigReader::token_ids(const char* key,
                                                            int64_t vocab_size) const {
  const auto ids = integers(key, {0, vocab_size - 1});
  if (!ids) return std::nullopt;
  return std::vector<TokenId>(ids->begin(), ids->end());
}

std::vector<double> ConfigReader::numbers(const char* key, NumberRange range) const {
  const auto& value = require(key);
  if (!value.is_array()) fail_type(key, "a list of numbers", value);
  std::vector<double> result;
  result.reserve(value.size());
  for (const auto& element : value) result.push_back(to_number(key, range, element));
  return result;
}

std::vector<std::string> ConfigReader::strings(const char* key) const {
  const auto* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) fail_type(key, "a list of strings", *value);
  std::vector<std::string> result;
  result.reserve(value->size());
  for (const auto& element : *value) {
    if (!element.is_string()) fail_type(key, "a list of strings", element);
    result.push_back(element.get<std::string>());
  }
  return result;
}

std::vector<std::string> ConfigReader::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, value] : object_->items()) result.push_back(key);
  return result;
}

std::optional<ConfigReader> ConfigReader::object(const char* key) const {
  const auto* value = find(key);
  if (value == nullptr) return std::nullopt;
  return ConfigReader(*value, fmt::format("{}: {}", source_, key));
}

}  // namespace prepack
