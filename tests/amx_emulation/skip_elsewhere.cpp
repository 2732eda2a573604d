// Skips all tests of the program, with a line that ctest looks for, where AMX cannot be emulated or
// need not be.

#include <cpuid.h>

#include <cstdlib>
#include <iostream>

#include "kernels/byte_tiles_product.h"
#include "kernels/many_rows.h"
#include "support/catch.h"

namespace prepack::amx {
namespace {

#if CATCH_VERSION_MAJOR >= 3
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

bool has_amx() {
  constexpr unsigned kTiles = 1U << 24;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTiles) != 0;
}

/// Null: none.
const char* reason_to_skip() {
  if (has_amx()) return "on a CPU that has it, which kernels:... use";
#ifdef PREPACK_TESTS_NEED_BFLOAT16
  if (!has_bfloat16_dot_products()) return "without AVX-512 BF16";
#else
  if (!can_multiply_byte_tiles()) return "without AVX2";
#endif
  return nullptr;
}

class SkipElsewhere : public Listener {
 public:
  using Listener::Listener;

  void testRunStarting(const Catch::TestRunInfo& /*info*/) override {
    const char* reason = reason_to_skip();
    if (reason == nullptr) return;
    std::cout << "skipped: AMX is not emulated " << reason << std::endl;
    std::exit(EXIT_SUCCESS);
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(SkipElsewhere)

}  // namespace prepack::amx
