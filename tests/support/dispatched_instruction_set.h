#pragma once

#include <cstdint>

namespace prepack::testing {

/// The instruction set that kernels run with now, by Highway's own choice. In a header of its own,
/// because Highway's may not come before foreach_target.h.
int64_t dispatched_instruction_set();

}  // namespace prepack::testing
