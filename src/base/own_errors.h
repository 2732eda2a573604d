#pragma once

#include <exception>
#include <string>

#include "prepack/error.h"

namespace prepack {

/// Whether this is how memory runs out: by the library's error, C++'s or LibTorch's.
bool is_out_of_memory(const std::exception& error);

/// What an error says, without the backtrace that LibTorch adds.
std::string plain_message(const std::exception& error);

/// What f returns; where memory runs out in it, that is an error of this library. Other errors are
/// as they were.
/// @throws OutOfMemory
template <typename F>
auto with_own_errors(const F& f) {
  try {
    return f();
  } catch (const OutOfMemory&) {
    throw;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    throw OutOfMemory(plain_message(error));
  }
}

}  // namespace prepack
