#pragma once

#include "packing/problem.h"

namespace prepack::packing {

/// Every sequence goes into the fullest bin that has room, the first of equally full ones. This is
/// also the rule of the paper's code, which calls binpacking.to_constant_volume (version 1.5.2;
/// since version 2.0 that function takes the emptiest bin instead).
Placements best_fit(const Problem& problem);

/// Every sequence goes into the first bin that has room.
Placements first_fit(const Problem& problem);

/// Every bin takes the longest sequence left and those that fill it best, found by dynamic
/// programming over the sums of the lengths: bins * distinct lengths * capacity steps at most.
/// @return nothing if it would take more than `max_bins` or `max_steps`
/// Ref: the minimum bin slack heuristic MBS' of Fleszar and Hindi (2002), after Gupta and Ho (1999)
Bins fill_bins(const Problem& problem, int64_t max_bins, int64_t max_steps);

}  // namespace prepack::packing
