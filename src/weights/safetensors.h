#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prepack {

/// Element types a safetensors file may hold; only kF32, kBF16 and kF16 load as weights.
enum class StoredDType {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

/// The name the format uses: "F32", "BF16", "F8_E4M3".
std::string_view to_string(StoredDType dtype);

/// "[256, 2048]", as shapes are written in messages.
std::string shape_to_string(std::span<const int64_t> shape);

/// What a file's header says about one tensor.
struct TensorInfo {
  std::string name;
  StoredDType dtype;
  std::vector<int64_t> shape;  // row-major; empty for a scalar
  uint64_t begin;              // bytes [begin, end) of the file
  uint64_t end;
};

/// Reads and verifies the header of a safetensors file: 8 bytes of little-endian length, that many
/// of JSON, then the tensors' bytes, each exactly once.
/// @param file    the whole file; only the header is read
/// @param source  names the file in errors
/// @return the tensors in the order in which their bytes lie in the file
/// @throws LoadError naming the file and the tensor
/// Ref: https://github.com/huggingface/safetensors, "Format"
std::vector<TensorInfo> parse_safetensors(std::span<const std::byte> file,
                                          const std::string& source);

}  // namespace prepack
