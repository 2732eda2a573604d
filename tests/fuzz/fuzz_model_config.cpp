#include <cstddef>
#include <cstdint>
#include <string_view>

#include "prepack/error.h"
#include "prepack/model_config.h"

// Whatever the text, reading a config either succeeds or throws a prepack::Error, and what is
// accepted describes a model that can be counted.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto config =
        prepack::parse_model_config({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (config.num_parameters() <= 0) __builtin_trap();
  } catch (const prepack::Error&) {
  }
  return 0;
}
