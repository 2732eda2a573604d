#pragma once

#include <cstdlib>

#include "cuda/cuda_half.h"
#include "support/catch.h"
#include "support/skip.h"

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

/// Leaves a test that needs a GPU where there is none.
#define PREPACK_NEEDS_GPU() \
  PREPACK_SKIP_UNLESS(prepack::testing::has_gpu(), "skipped: no CUDA device")
