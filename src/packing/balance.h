#pragma once

#include <span>

#include "packing/problem.h"
#include "prepack/packing.h"

namespace prepack::packing {

/// Redistributes the sequences over as many bins, so that the dearest is as cheap as the longest
/// processing time rule and an exchange of sequences achieve. It never gets dearer.
/// Ref: Graham, Bounds on multiprocessing timing anomalies (1969)
Bins balance(const Problem& problem, std::span<const int64_t> lengths, const SegmentCost& cost,
             Bins bins);

}  // namespace prepack::packing
