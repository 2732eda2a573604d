#pragma once

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <vector>

namespace prepack::testing {

/// The instruction sets that kernels are compiled for and that this machine has, the best first, as
/// Highway's targets.
inline std::vector<int64_t> instruction_sets() {
  std::vector<int64_t> targets;
  int64_t rest = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;
  for (; rest != 0; rest &= rest - 1) targets.push_back(rest & -rest);
  return targets;
}

/// While it lives, kernels run as on a machine that has this one alone; those that are not compiled
/// for AVX3_DL, with AVX3 in its place.
class OnlyInstructionSet {
 public:
  explicit OnlyInstructionSet(int64_t target) {
    hwy::SetSupportedTargetsForTest(target == HWY_AVX3_DL ? target | HWY_AVX3 : target);
  }
  ~OnlyInstructionSet() { hwy::SetSupportedTargetsForTest(0); }
  OnlyInstructionSet(const OnlyInstructionSet&) = delete;
  OnlyInstructionSet& operator=(const OnlyInstructionSet&) = delete;
};

}  // namespace prepack::testing
