#include "weights/gguf_metadata.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>

#include "prepack/error.h"
#include "weights/json.h"
#include "weights/little_endian.h"

namespace prepack {
namespace {

bool is_integer(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kUint16:
    case GgufType::kInt16:
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kUint64:
    case GgufType::kInt64:
      return true;
    default:
      return false;
  }
}

std::string_view name_of(GgufType type) {
  switch (type) {
    case GgufType::kFloat32:
    case GgufType::kFloat64:
      return "a number";
    case GgufType::kBool:
      return "true or false";
    case GgufType::kString:
      return "a string";
    default:
      return "an integer";
  }
}

std::string describe(const GgufValue& value) {
  if (!value.is_array) return std::string(name_of(value.type));
  return fmt::format("a list of {} values", value.count);
}

double shortest_decimal(float value) {
  char digits[32];
  const auto written = std::to_chars(std::begin(digits), std::end(digits), value);
  double decimal = value;
  std::from_chars(digits, written.ptr, decimal);
  return decimal;
}

}  // namespace

size_t size_of(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

void GgufMetadata::fail(std::string_view key, std::string_view problem) const {
  throw LoadError(fmt::format("{}: {}: {}", source_, printable(key), problem));
}

const GgufValue& GgufMetadata::find(std::string_view key, bool is_array,
                                    std::string_view expected) const {
  const auto found = values_.find(key);
  if (found == values_.end()) fail(key, "is missing");
  if (found->second.is_array != is_array) {
    fail(key, fmt::format("expected {}, got {}", expected, describe(found->second)));
  }
  return found->second;
}

int64_t GgufMetadata::to_integer(std::string_view key, const GgufValue& value,
                                 uint64_t index) const {
  if (!is_integer(value.type)) {
    fail(key, fmt::format("expected an integer, got {}", name_of(value.type)));
  }
  const auto* at = value.bytes.data() + index * size_of(value.type);
  switch (value.type) {
    case GgufType::kUint8:
      return read_little_endian<uint8_t>(at);
    case GgufType::kInt8:
      return static_cast<int8_t>(read_little_endian<uint8_t>(at));
    case GgufType::kUint16:
      return read_little_endian<uint16_t>(at);
    case GgufType::kInt16:
      return static_cast<int16_t>(read_little_endian<uint16_t>(at));
    case GgufType::kUint32:
      return read_little_endian<uint32_t>(at);
    case GgufType::kInt32:
      return static_cast<int32_t>(read_little_endian<uint32_t>(at));
    default:
      break;
  }
  const auto wide = read_little_endian<uint64_t>(at);
  if (value.type == GgufType::kUint64 && wide > std::numeric_limits<int64_t>::max()) {
    fail(key, fmt::format("{} is too large", wide));
  }
  return static_cast<int64_t>(wide);
}

int64_t GgufMetadata::integer(std::string_view key) const {
  return to_integer(key, find(key, false, "an integer"), 0);
}

int64_t GgufMetadata::integer(std::string_view key, int64_t absent) const {
  return has(key) ? integer(key) : absent;
}

bool GgufMetadata::boolean(std::string_view key, bool absent) const {
  if (!has(key)) return absent;
  const auto& value = find(key, false, "true or false");
  if (value.type != GgufType::kBool) {
    fail(key, fmt::format("expected true or false, got {}", name_of(value.type)));
  }
  return value.bytes[0] != std::byte{0};
}

std::string_view GgufMetadata::text(std::string_view key) const {
  const auto& value = find(key, false, "a string");
  if (value.type != GgufType::kString) {
    fail(key, fmt::format("expected a string, got {}", name_of(value.type)));
  }
  return {reinterpret_cast<const char*>(value.bytes.data()) + sizeof(uint64_t),
          value.bytes.size() - sizeof(uint64_t)};
}

std::string_view GgufMetadata::text(std::string_view key, std::string_view absent) const {
  return has(key) ? text(key) : absent;
}

double GgufMetadata::number(std::string_view key) const {
  const auto& value = find(key, false, "a number");
  if (value.type == GgufType::kFloat32) {
    return shortest_decimal(std::bit_cast<float>(read_little_endian<uint32_t>(value.bytes.data())));
  }
  if (value.type == GgufType::kFloat64) {
    return std::bit_cast<double>(read_little_endian<uint64_t>(value.bytes.data()));
  }
  if (!is_integer(value.type)) {
    fail(key, fmt::format("expected a number, got {}", name_of(value.type)));
  }
  return static_cast<double>(to_integer(key, value, 0));
}

std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  const auto& value = find(key, true, "a list of strings");
  if (value.type != GgufType::kString) fail(key, "expected a list of strings, got another");
  std::vector<std::string_view> result;
  result.reserve(value.count);
  const auto* at = value.bytes.data();
  for (uint64_t i = 0; i < value.count; ++i) {
    const auto length = read_little_endian<uint64_t>(at);
    at += sizeof(uint64_t);
    result.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return result;
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key) const {
  const auto& value = find(key, true, "a list of integers");
  std::vector<int64_t> result;
  result.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) result.push_back(to_integer(key, value, i));
  return result;
}

std::vector<float> GgufMetadata::numbers(std::string_view key) const {
  const auto& value = find(key, true, "a list of numbers");
  if (value.type != GgufType::kFloat32) fail(key, "expected a list of float32 numbers");
  std::vector<float> result;
  result.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    const auto* at = value.bytes.data() + i * sizeof(float);
    result.push_back(std::bit_cast<float>(read_little_endian<uint32_t>(at)));
  }
  return result;
}

}  // namespace prepack
