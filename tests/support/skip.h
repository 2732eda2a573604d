#pragma once

#include "support/catch.h"

/// Leaves a test where `condition` does not hold. ctest finds the reason, a literal that begins
/// with "skipped: ", and counts the test as skipped, by its name.
#ifdef SKIP  // Catch2 from version 3.3 on
#define PREPACK_SKIP_UNLESS(condition, reason) \
  if (!(condition)) SKIP(reason)
#else
#define PREPACK_SKIP_UNLESS(condition, reason) \
  if (!(condition)) {                          \
    WARN(reason);                              \
    return;                                    \
  }                                            \
  static_cast<void>(0)
#endif
