#pragma once

#include <span>
#include <string>

#include "bench/comparison.h"
#include "bench/environment.h"

namespace prepack::bench {

/// One JSON object, for scripts/plot.py and scripts/report.py:
/// - environment: what the measurement depends on, and its options
/// - datasets: name, num_prompts, prompt_tokens, lengths: mean, p95, max and the histogram as pairs
///   [length, count]
/// - results: one for each data set, method, metric and batch size; times are in seconds per batch,
///   samples_s one for each batch and run, memory in bytes; where error is not null, what was not
///   measured is null
/// - batches: the same for each batch
std::string format_json(const Environment& environment, std::span<const DataSet> data_sets,
                        const ComparisonOptions& options, std::span<const MethodResult> results);

}  // namespace prepack::bench
