#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "bench/environment.h"
#include "bench/throughput.h"
#include "prepack/model.h"

namespace prepack::bench {

/// How long a program takes to be of use.
struct StartUp {
  double load_s = 0;       // to load the model
  int64_t prompt_len = 0;  // of the first prompt
  std::optional<double> first_token_s =
      {};  // from the start of the process until its first new token
};

/// Everything that is measured of a model on a machine.
struct ThroughputReport {
  Environment environment;
  StartUp start_up;
  Ceilings ceilings_before;
  Ceilings ceilings_after;
  int64_t predicted_bytes = 0;        // peak of memory
  std::optional<int64_t> peak_bytes;  // without what measuring the ceilings took
  ThroughputOptions options;
  std::vector<ThroughputResult> results;
};

/// As a reader sees it: start-up, ceilings, a table of prefills and one of decode steps, each with
/// its part of the ceilings, then where the time goes, and memory.
std::string format_table(const ThroughputReport& report, const Model& model);

/// One JSON object:
/// - environment: what the measurement depends on, and its options
/// - start_up, memory; ceilings: before and after, in operations and bytes per second
/// - prefill, decode: one for each batch size and prompt length; samples_s one for each run, rates
///   by their median; seconds_by_part, of all runs together, or null
/// What is not known is null.
std::string format_json(const ThroughputReport& report, const Model& model);

}  // namespace prepack::bench
