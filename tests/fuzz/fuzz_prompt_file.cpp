#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cli/prompt_file.h"
#include "prepack/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    prepack::cli::parse_prompt_line({reinterpret_cast<const char*>(data), size}, "line 1");
  } catch (const prepack::Error&) {
  }
  return 0;
}
