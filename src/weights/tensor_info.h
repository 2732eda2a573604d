#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prepack {

/// Element types that a file of weights may hold: those of safetensors, then the quantized ones of
/// GGUF. Only kF32, kBF16, kF16 and the quantized ones load as weights.
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
  // Integers that share a scale: see weights/dequantize.h.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

/// The name the format uses: "F32", "BF16", "F8_E4M3", "Q4_K".
std::string_view to_string(StoredDType dtype);

/// The fewest elements that take whole bytes: one, but more of types below a byte; of quantized
/// types those that share a scale.
struct Block {
  uint64_t num_elements;
  uint64_t num_bytes;
};
Block block_of(StoredDType dtype);

bool is_quantized(StoredDType dtype);

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

}  // namespace prepack
