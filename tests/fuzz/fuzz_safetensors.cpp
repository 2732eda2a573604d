#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "prepack/error.h"
#include "weights/safetensors.h"
#include "weights/safetensors_index.h"

// Whatever the bytes, the readers of weight files either succeed or throw a prepack::Error, and
// what they accept lies inside the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span file(data, size);
  try {
    for (const auto& tensor : prepack::parse_safetensors(std::as_bytes(file), "fuzz")) {
      if (tensor.begin > tensor.end || tensor.end > size) __builtin_trap();
    }
  } catch (const prepack::Error&) {
  }
  try {
    prepack::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const prepack::Error&) {
  }
  return 0;
}
