#include "weights/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "prepack/error.h"
#include "weights/json.h"

namespace prepack {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

std::optional<StoredDType> find_dtype(std::string_view name) {
  constexpr auto kNumDTypes = static_cast<size_t>(StoredDType::kU64) + 1;  // the format's own
  for (size_t i = 0; i < kNumDTypes; ++i) {
    const auto dtype = static_cast<StoredDType>(i);
    if (to_string(dtype) == name) return dtype;
  }
  return std::nullopt;
}

std::string_view header_text(std::span<const std::byte> file, const std::string& source) {
  if (file.size() < kLengthBytes) {
    throw LoadError(
        fmt::format("{}: expected a safetensors file, got only {} bytes", source, file.size()));
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  }
  const uint64_t available = file.size() - kLengthBytes;
  if (length > available) {
    throw LoadError(fmt::format(
        "{}: the header is {} bytes long by its length field, but only {} bytes follow (truncated, "
        "or not a safetensors file)",
        source, length, available));
  }
  if (length > kMaxHeaderBytes) {
    throw LoadError(fmt::format("{}: the header is {} bytes long, over the limit of {}", source,
                                length, kMaxHeaderBytes));
  }
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, length};
}

/// One tensor's entry in the header; errors name the file and the tensor.
class EntryReader {
 public:
  EntryReader(const std::string& source, const std::string& name, const Json& entry)
      : source_(source), name_(name), entry_(entry) {}

  /// @param data_begin  file offset of the first tensor byte
  /// @param data_size   bytes from there to the end of the file
  TensorInfo read(uint64_t data_begin, uint64_t data_size) const {
    if (!entry_.is_object()) fail("expected an object, got " + describe(entry_));
    TensorInfo info{name_, read_dtype(), read_shape(), 0, 0};
    const auto [begin, end] = read_offsets(data_size);
    const uint64_t expected = size_in_bytes(info);
    if (end - begin != expected) {
      fail(fmt::format("{} of shape {} takes {} bytes, but data_offsets [{}, {}] span {}",
                       to_string(info.dtype), shape_to_string(info.shape), expected, begin, end,
                       end - begin));
    }
    info.begin = data_begin + begin;
    info.end = data_begin + end;
    return info;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw LoadError(fmt::format("{}: {}: {}", source_, printable(name_), problem));
  }

  const Json& field(const char* key) const {
    const auto found = entry_.find(key);
    if (found == entry_.end()) fail(fmt::format("{} is missing", key));
    return *found;
  }

  StoredDType read_dtype() const {
    const Json& value = field("dtype");
    if (!value.is_string()) fail("dtype: expected a name, got " + describe(value));
    const auto dtype = find_dtype(value.get_ref<const std::string&>());
    if (!dtype) fail("unknown dtype " + describe(value));
    return *dtype;
  }

  std::vector<int64_t> read_shape() const {
    constexpr uint64_t kMaxSize = std::numeric_limits<int64_t>::max();
    const Json& value = field("shape");
    if (!value.is_array()) fail("shape: expected a list, got " + describe(value));
    std::vector<int64_t> shape;
    shape.reserve(value.size());
    for (const Json& size : value) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() > kMaxSize) {
        fail("shape: expected non-negative 64-bit integers, got " + describe(size));
      }
      shape.push_back(size.get<int64_t>());
    }
    return shape;
  }

  std::pair<uint64_t, uint64_t> read_offsets(uint64_t data_size) const {
    const Json& value = field("data_offsets");
    if (!value.is_array() || value.size() != 2) {
      fail("data_offsets: expected a list of two integers, got " +
           (value.is_array() ? fmt::format("{} values", value.size()) : describe(value)));
    }
    for (const Json& offset : value) {
      if (!offset.is_number_unsigned()) {
        fail("data_offsets: expected non-negative integers, got " + describe(offset));
      }
    }
    const auto begin = value[0].get<uint64_t>();
    const auto end = value[1].get<uint64_t>();
    if (begin > end) fail(fmt::format("data_offsets [{}, {}] are reversed", begin, end));
    if (end > data_size) {
      fail(
          fmt::format("data_offsets [{}, {}] reach beyond the file, which holds {} bytes of data "
                      "(truncated?)",
                      begin, end, data_size));
    }
    return {begin, end};
  }

  uint64_t size_in_bytes(const TensorInfo& info) const {
    // A zero among the sizes must not hide an overflow of the others: strides are their products.
    int64_t elements = 1;
    bool is_empty = false;
    bool overflow = false;
    for (const int64_t size : info.shape) {
      is_empty |= size == 0;
      overflow |= __builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements);
    }
    const auto block = block_of(info.dtype);
    const uint64_t num_blocks = static_cast<uint64_t>(elements) / block.num_elements;
    uint64_t bytes = 0;
    overflow |= __builtin_mul_overflow(num_blocks, block.num_bytes, &bytes);
    if (overflow) fail(fmt::format("shape {} is too large", shape_to_string(info.shape)));
    if (is_empty) return 0;
    if (static_cast<uint64_t>(elements) % block.num_elements != 0) {
      fail(fmt::format("{} of shape {} is not a whole number of bytes", to_string(info.dtype),
                       shape_to_string(info.shape)));
    }
    return bytes;
  }

  const std::string& source_;
  const std::string& name_;
  const Json& entry_;
};

/// Every byte after the header must belong to exactly one tensor.
/// @param tensors  sorted by position
void check_coverage(const std::vector<TensorInfo>& tensors, uint64_t data_begin, uint64_t file_size,
                    const std::string& source) {
  uint64_t covered = data_begin;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = tensors[i];
    if (tensor.begin < covered) {
      throw LoadError(fmt::format("{}: {}: overlaps {} by {} bytes", source, printable(tensor.name),
                                  printable(tensors[i - 1].name), covered - tensor.begin));
    }
    if (tensor.begin > covered) {
      throw LoadError(fmt::format("{}: {}: a hole of {} bytes lies before it", source,
                                  printable(tensor.name), tensor.begin - covered));
    }
    covered = tensor.end;
  }
  if (covered != file_size) {
    throw LoadError(fmt::format("{}: {} bytes after the last tensor belong to none", source,
                                file_size - covered));
  }
}

}  // namespace

std::vector<TensorInfo> parse_safetensors(std::span<const std::byte> file,
                                          const std::string& source) {
  const std::string_view text = header_text(file, source);
  const Json header = parse_json(text, source + ": header");
  if (!header.is_object()) {
    throw LoadError(
        fmt::format("{}: header: expected an object, got {}", source, describe(header)));
  }
  const uint64_t data_begin = kLengthBytes + text.size();
  std::vector<TensorInfo> tensors;
  tensors.reserve(header.size());
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {  // free text about the file; nothing here depends on it
      if (!entry.is_object()) {
        throw LoadError(
            fmt::format("{}: __metadata__: expected an object, got {}", source, describe(entry)));
      }
      continue;
    }
    tensors.push_back(EntryReader(source, name, entry).read(data_begin, file.size() - data_begin));
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  check_coverage(tensors, data_begin, file.size(), source);
  return tensors;
}

}  // namespace prepack
