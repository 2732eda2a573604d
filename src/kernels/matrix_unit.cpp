#include "kernels/matrix_unit.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace prepack {
namespace {

#if defined(__x86_64__) && defined(__linux__)

bool has_instructions() {
  constexpr unsigned kBFloat16 = 1U << 22;
  constexpr unsigned kTiles = 1U << 24;
  constexpr unsigned kBytes = 1U << 25;
  constexpr unsigned kAll = kBFloat16 | kTiles | kBytes;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kAll) == kAll;
}

/// Systems keep 8 KB more of each thread's state for processes that ask.
/// Ref: Linux, Documentation/arch/x86/xstate.rst
bool get_permission() {
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#else

bool has_instructions() { return false; }
bool get_permission() { return false; }

#endif

}  // namespace

bool has_matrix_unit() {
  static const bool kHas = has_instructions() && get_permission();
  return kHas;
}

}  // namespace prepack
