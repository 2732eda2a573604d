#include "base/own_errors.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

namespace prepack {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const OutOfMemory*>(&error) != nullptr ||
      dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return true;
  }
  // LibTorch's errors of its CPU allocator, of CUDA's functions and of cuBLAS have no type of their
  // own.
  const std::string_view text = error.what();
  return std::ranges::any_of(
      std::array{"can't allocate memory", "CUDA out of memory", "CUDA error: out of memory",
                 "CUBLAS_STATUS_ALLOC_FAILED"},
      [&](const char* sign) { return text.find(sign) != std::string_view::npos; });
}

std::string plain_message(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory";
  if (const auto* of_libtorch = dynamic_cast<const c10::Error*>(&error)) {
    return of_libtorch->what_without_backtrace();
  }
  return error.what();
}

}  // namespace prepack
