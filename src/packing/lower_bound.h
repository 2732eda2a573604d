#pragma once

#include "packing/problem.h"

namespace prepack::packing {

/// The bound L2 of Martello and Toth (1990), with the number of segments as a second resource.
int64_t lower_bound(const Problem& problem);

}  // namespace prepack::packing
