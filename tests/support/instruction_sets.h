#pragma once

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdint>
#include <vector>

namespace prepack::testing {

/// The instruction sets that kernels are compiled for and that this machine has, as Highway's
/// targets.
inline std::vector<int64_t> instruction_sets() {
  constexpr int64_t kNotCompiled = HWY_SSSE3 | HWY_AVX3_DL;  // as CMakeLists.txt says
  std::vector<int64_t> targets;
  int64_t rest = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & ~kNotCompiled;
  for (; rest != 0; rest &= rest - 1) targets.push_back(rest & -rest);
  return targets;
}

/// While it lives, kernels run as on a machine that has this one alone.
class OnlyInstructionSet {
 public:
  explicit OnlyInstructionSet(int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~OnlyInstructionSet() { hwy::SetSupportedTargetsForTest(0); }
  OnlyInstructionSet(const OnlyInstructionSet&) = delete;
  OnlyInstructionSet& operator=(const OnlyInstructionSet&) = delete;
};

}  // namespace prepack::testing
