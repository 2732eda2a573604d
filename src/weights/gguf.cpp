#include "weights/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "prepack/error.h"
#include "weights/json.h"
#include "weights/little_endian.h"

namespace prepack {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint32_t kMaxDimensions = 4;  // as in ggml
constexpr int kMaxNesting = 4;          // of arrays in arrays, which nothing here reads

// The least that each takes, by which counts are bounded before anything is allocated for them.
constexpr uint64_t kFewestPairBytes = 8 + 4 + 1;        // empty key, type, one byte
constexpr uint64_t kFewestTensorBytes = 8 + 4 + 4 + 8;  // empty name, no dimensions, type, offset

/// ggml's number and name of a tensor's type.
struct TensorType {
  uint32_t number;
  std::string_view name;
  std::optional<StoredDType> dtype;  // nullopt: known, but not supported
};

constexpr std::array kTensorTypes = {
    TensorType{0, "F32", StoredDType::kF32},
    TensorType{1, "F16", StoredDType::kF16},
    TensorType{2, "Q4_0", StoredDType::kQ4_0},
    TensorType{3, "Q4_1", StoredDType::kQ4_1},
    TensorType{6, "Q5_0", StoredDType::kQ5_0},
    TensorType{7, "Q5_1", StoredDType::kQ5_1},
    TensorType{8, "Q8_0", StoredDType::kQ8_0},
    TensorType{9, "Q8_1", {}},
    TensorType{10, "Q2_K", {}},
    TensorType{11, "Q3_K", {}},
    TensorType{12, "Q4_K", StoredDType::kQ4_K},
    TensorType{13, "Q5_K", StoredDType::kQ5_K},
    TensorType{14, "Q6_K", StoredDType::kQ6_K},
    TensorType{15, "Q8_K", {}},
    TensorType{16, "IQ2_XXS", {}},
    TensorType{17, "IQ2_XS", {}},
    TensorType{18, "IQ3_XXS", {}},
    TensorType{19, "IQ1_S", {}},
    TensorType{20, "IQ4_NL", {}},
    TensorType{21, "IQ3_S", {}},
    TensorType{22, "IQ2_S", {}},
    TensorType{23, "IQ4_XS", {}},
    TensorType{24, "I8", StoredDType::kI8},
    TensorType{25, "I16", StoredDType::kI16},
    TensorType{26, "I32", StoredDType::kI32},
    TensorType{27, "I64", StoredDType::kI64},
    TensorType{28, "F64", StoredDType::kF64},
    TensorType{29, "IQ1_M", {}},
    TensorType{30, "BF16", StoredDType::kBF16},
    TensorType{34, "TQ1_0", {}},
    TensorType{35, "TQ2_0", {}},
    TensorType{39, "MXFP4", {}},
};

/// Walks over the bytes of the header. Errors say what was being read.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> file, const std::string& source)
      : file_(file), source_(source) {}

  GgufHeader read() {
    const uint32_t version = read_version();
    const auto num_tensors = number<uint64_t>("the count of tensors");
    const auto num_pairs = number<uint64_t>("the count of metadata");
    GgufHeader header{version, read_metadata(num_pairs), {}};
    header.tensors = read_tensors(num_tensors);
    place_tensors(read_alignment(header.metadata), header.tensors);
    return header;
  }

 private:
  [[noreturn]] void fail(std::string_view problem) const {
    throw LoadError(fmt::format("{}: {}", source_, problem));
  }
  [[noreturn]] void fail(std::string_view what, std::string_view problem) const {
    fail(fmt::format("{}: {}", printable(what), problem));
  }

  uint64_t num_left() const { return file_.size() - position_; }

  /// @param what  that is read, for the message
  std::span<const std::byte> take(uint64_t size, std::string_view what) {
    if (size > num_left()) {
      fail(what, fmt::format("takes {} bytes, but only {} follow (truncated?)", size, num_left()));
    }
    const auto taken = file_.subspan(position_, size);
    position_ += size;
    return taken;
  }

  template <typename T>
  T number(std::string_view what) {
    return read_little_endian<T>(take(sizeof(T), what).data());
  }

  std::string_view text(std::string_view what) {
    const auto bytes = take(number<uint64_t>(what), what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void require_count(uint64_t count, uint64_t fewest_bytes, std::string_view what) const {
    if (count <= num_left() / fewest_bytes) return;
    fail(what, fmt::format("{} cannot be: only {} bytes follow (truncated?)", count, num_left()));
  }

  uint32_t read_version() {
    if (file_.size() < kMagic.size() + sizeof(uint32_t)) {
      fail(fmt::format("expected a GGUF file, got only {} bytes", file_.size()));
    }
    const auto magic = take(kMagic.size(), "magic");
    if (std::string_view(reinterpret_cast<const char*>(magic.data()), magic.size()) != kMagic) {
      fail("expected a model's folder or a GGUF file: this file does not begin with GGUF");
    }
    const auto version = number<uint32_t>("version");
    if (version != 0 && (version & 0xFFFF) == 0) {
      fail("is a big-endian GGUF file, which is not supported");
    }
    if (version < kOldestVersion || version > kNewestVersion) {
      fail(fmt::format("expected GGUF of version {} or {}, got version {}", kOldestVersion,
                       kNewestVersion, version));
    }
    return version;
  }

  GgufMetadata read_metadata(uint64_t num_pairs) {
    require_count(num_pairs, kFewestPairBytes, "the count of metadata");
    GgufMetadata metadata(source_);
    for (uint64_t i = 0; i < num_pairs; ++i) {
      const auto key = text(fmt::format("key {}", i));
      if (!metadata.add(key, read_value(key))) fail(key, "appears twice");
    }
    return metadata;
  }

  GgufType read_type(std::string_view key) {
    const auto type = number<uint32_t>(key);
    if (type > static_cast<uint32_t>(GgufType::kFloat64)) {
      fail(key, fmt::format("unknown type {}", type));
    }
    return static_cast<GgufType>(type);
  }

  GgufValue read_value(std::string_view key) {
    GgufValue value{read_type(key), false, 1, {}};
    if (value.type == GgufType::kArray) {
      value.is_array = true;
      value.type = read_type(key);
      value.count = number<uint64_t>(key);
    }
    const uint64_t begin = position_;
    skip_elements(value.type, value.count, key, 1);
    value.bytes = file_.subspan(begin, position_ - begin);
    return value;
  }

  void skip_elements(GgufType type, uint64_t count, std::string_view key, int nesting) {
    if (const uint64_t size = size_of(type); size > 0) {
      require_count(count, size, key);
      take(count * size, key);
      return;
    }
    require_count(count, sizeof(uint64_t), key);  // what a string begins with; arrays take more
    if (type == GgufType::kArray && nesting == kMaxNesting) fail(key, "is nested too deeply");
    for (uint64_t i = 0; i < count; ++i) {
      if (type == GgufType::kString) {
        text(key);
      } else {
        const auto inner = read_type(key);
        skip_elements(inner, number<uint64_t>(key), key, nesting + 1);
      }
    }
  }

  uint64_t read_alignment(const GgufMetadata& metadata) const {
    constexpr std::string_view kKey = "general.alignment";
    const int64_t alignment = metadata.integer(kKey, kDefaultAlignment);
    if (alignment < 1 || alignment > static_cast<int64_t>(kMaxAlignment) ||
        (alignment & (alignment - 1)) != 0) {
      fail(kKey, fmt::format("expected a power of two up to {}, got {}", kMaxAlignment, alignment));
    }
    return static_cast<uint64_t>(alignment);
  }

  /// @return with `begin` and `end` relative to the data
  std::vector<TensorInfo> read_tensors(uint64_t num_tensors) {
    require_count(num_tensors, kFewestTensorBytes, "the count of tensors");
    std::vector<TensorInfo> tensors;
    tensors.reserve(num_tensors);
    std::set<std::string_view> names;
    for (uint64_t i = 0; i < num_tensors; ++i) {
      const auto name = text(fmt::format("the name of tensor {}", i));
      if (!names.insert(name).second) fail(name, "appears twice");
      tensors.push_back(read_tensor(name));
    }
    return tensors;
  }

  TensorInfo read_tensor(std::string_view name) {
    const auto num_dimensions = number<uint32_t>(name);
    if (num_dimensions > kMaxDimensions) {
      fail(name,
           fmt::format("expected at most {} dimensions, got {}", kMaxDimensions, num_dimensions));
    }
    std::vector<int64_t> shape(num_dimensions);
    for (auto& size : shape) {
      const auto given = number<uint64_t>(name);
      if (given == 0 || given > std::numeric_limits<int64_t>::max()) {
        fail(name, fmt::format("a dimension of {} cannot be", given));
      }
      size = static_cast<int64_t>(given);
    }
    std::ranges::reverse(shape);  // GGUF has the innermost dimension first
    const auto dtype = read_dtype(name);
    const auto offset = number<uint64_t>(name);
    const uint64_t size = size_in_bytes(name, dtype, shape);
    uint64_t end = 0;
    if (__builtin_add_overflow(offset, size, &end)) {
      fail(name, fmt::format("its place, {}, is too large", offset));
    }
    return {std::string(name), dtype, std::move(shape), offset, end};
  }

  StoredDType read_dtype(std::string_view name) {
    const auto type = number<uint32_t>(name);
    const auto known = std::ranges::find(kTensorTypes, type, &TensorType::number);
    if (known == kTensorTypes.end()) fail(name, fmt::format("unknown type {}", type));
    if (!known->dtype) {
      fail(name, fmt::format("type {} is not supported; of quantized types Q4_0, Q4_1, Q5_0, "
                             "Q5_1, Q8_0, Q4_K, Q5_K and Q6_K are",
                             known->name));
    }
    return *known->dtype;
  }

  uint64_t size_in_bytes(std::string_view name, StoredDType dtype,
                         const std::vector<int64_t>& shape) const {
    const auto block = block_of(dtype);
    const auto row = static_cast<uint64_t>(shape.empty() ? 1 : shape.back());
    if (row % block.num_elements != 0) {
      fail(name, fmt::format("{} of shape {}: rows are no multiple of {} elements",
                             to_string(dtype), shape_to_string(shape), block.num_elements));
    }
    int64_t num_elements = 1;
    bool overflow = false;
    for (const int64_t size : shape) {
      overflow |= __builtin_mul_overflow(num_elements, size, &num_elements);
    }
    uint64_t bytes = 0;
    overflow |= __builtin_mul_overflow(static_cast<uint64_t>(num_elements) / block.num_elements,
                                       block.num_bytes, &bytes);
    if (overflow) fail(name, fmt::format("shape {} is too large", shape_to_string(shape)));
    return bytes;
  }

  /// The data begin at the next multiple of the alignment, and each tensor at one from there.
  void place_tensors(uint64_t alignment, std::vector<TensorInfo>& tensors) const {
    const uint64_t data_begin = (position_ + alignment - 1) / alignment * alignment;
    const uint64_t data_size = file_.size() - std::min<uint64_t>(data_begin, file_.size());
    std::ranges::sort(tensors, [](const TensorInfo& a, const TensorInfo& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t covered = 0;
    for (auto& tensor : tensors) {
      if (tensor.begin % alignment != 0) {
        fail(tensor.name, fmt::format("its place, {}, is no multiple of the alignment, {}",
                                      tensor.begin, alignment));
      }
      if (tensor.end > data_size) {
        fail(tensor.name, fmt::format("its bytes [{}, {}) reach beyond the file, which holds {} "
                                      "bytes of data (truncated?)",
                                      tensor.begin, tensor.end, data_size));
      }
      if (tensor.begin < covered) fail(tensor.name, "overlaps another tensor");
      covered = tensor.end;
      tensor.begin += data_begin;
      tensor.end += data_begin;
    }
  }

  std::span<const std::byte> file_;
  const std::string& source_;
  uint64_t position_ = 0;
};

}  // namespace

GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& source) {
  return HeaderReader(file, source).read();
}

GgufFile open_gguf(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  auto header = parse_gguf(file->bytes(), path.string());
  // Converters cut large models into several files, each with a part of the tensors.
  constexpr std::string_view kNumShards = "split.count";
  if (header.metadata.integer(kNumShards, 1) > 1) {
    header.metadata.fail(kNumShards,
                         "a GGUF in several files is not supported; join them with "
                         "llama.cpp's llama-gguf-split --merge");
  }
  return {std::move(file), std::move(header)};
}

bool names_gguf(const std::filesystem::path& model) {
  std::error_code ignored;  // what cannot be looked at is reported when it is opened
  return std::filesystem::exists(model, ignored) && !std::filesystem::is_directory(model, ignored);
}

}  // namespace prepack
