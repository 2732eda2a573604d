#pragma once

#include <span>
#include <string>

#include "bench/comparison.h"

namespace prepack::bench {

/// The results as a reader sees them: one table for each data set, batch size and metric, with the
/// columns of the paper's code and the speed-up against padded batching.
std::string format_table(std::span<const MethodResult> results, const Model& model);

/// The same as comma-separated values, one line for each result; the samples are separated by
/// semicolons. Empty fields are unknown.
std::string format_csv(std::span<const MethodResult> results);

}  // namespace prepack::bench
