#pragma once

#include <cstdlib>

#include "cuda/cuda_half.h"
#include "support/catch.h"

namespace prepack::testing {

/// @throws where PREPACK_REQUIRE_GPU is in the environment, and there is none
inline bool has_gpu() {
  const auto* half = load_cuda_half();
  const bool found = half != nullptr && half->device_count() > 0;
  if (!found && std::getenv("PREPACK_REQUIRE_GPU") != nullptr) {
    FAIL("no CUDA device was found, or libprepack_cuda was not");
  }
  return found;
}

}  // namespace prepack::testing

/// Leaves a test that needs a GPU where there is none; ctest counts it as skipped, by its name.
#ifdef SKIP  // Catch2 from version 3.3 on
#define PREPACK_NEEDS_GPU() \
  if (!prepack::testing::has_gpu()) SKIP("skipped: no CUDA device")
#else
#define PREPACK_NEEDS_GPU()           \
  if (!prepack::testing::has_gpu()) { \
    WARN("skipped: no CUDA device");  \
    return;                           \
  }                                   \
  static_cast<void>(0)
#endif
