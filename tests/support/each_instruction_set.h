#pragma once

#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

#include "support/catch.h"
#include "support/dispatched_instruction_set.h"
#include "support/instruction_sets.h"

namespace prepack::testing {

/// Calls f() with each instruction set of this machine in turn, or with the one alone that the
/// environment's PREPACK_TEST_INSTRUCTION_SET names, as on a slow machine. Failures name it.
template <typename F>
void on_each_instruction_set(const F& f) {
  const char* wanted = std::getenv("PREPACK_TEST_INSTRUCTION_SET");
  bool is_found = false;
  for (const auto target : instruction_sets()) {
    const std::string_view name = hwy::TargetName(target);
    if (wanted != nullptr && name != wanted) continue;
    is_found = true;
    const OnlyInstructionSet only(target);
    CAPTURE(name);
    REQUIRE(dispatched_instruction_set() == target);
    f();
  }
  REQUIRE(is_found);
}

/// How many samples a test draws: `usual`, times the environment's PREPACK_TEST_SAMPLES, if it is
/// there; but at least one.
inline int num_samples(int usual) {
  const char* factor = std::getenv("PREPACK_TEST_SAMPLES");
  const double samples = factor != nullptr ? usual * std::strtod(factor, nullptr) : usual;
  return samples < 1 ? 1 : static_cast<int>(samples);
}

}  // namespace prepack::testing
