#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/scratch.h"

namespace prepack::testing {

/// Fills with NaN what this thread's next kernel takes for its intermediate results, at least if it
/// takes no more than this: what it reads there without having written it, a result would show.
inline void spoil_scratch() {
  constexpr int64_t kSize = int64_t{1} << 16;
  Scratch scratch(kSize, 1);
  std::fill_n(scratch.take(kSize), kSize, NAN);
}

}  // namespace prepack::testing
