#pragma once

#include <cstdint>

// Runs AMX's instructions where the CPU has none: each raises SIGILL, whose handler does to tiles
// in memory what the instruction would. The handler is installed by has_matrix_unit(), which says
// here that there is a matrix unit. That shows wrong tiles, strides and sums; not what the order of
// instructions costs.

namespace prepack::amx {

/// Products of tiles that this thread has computed.
int64_t num_products();

}  // namespace prepack::amx
