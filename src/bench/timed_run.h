#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "prepack/memory.h"
#include "prepack/model.h"
#include "prepack/prefill.h"

namespace prepack::bench {

/// What is timed. All begin with token ids.
enum class Metric {
  kPrefill,   // to the keys and values of all but the final tokens: the paper's prefill time
  kTtft,      // true time to first token: until the first token of every prompt is drawn
  kGenerate,  // until every prompt has all of its new tokens
};

/// "prefill", "ttft" or "generate".
std::string_view to_string(Metric metric);

/// @throws InvalidArgument for an unknown name
Metric parse_metric(std::string_view name);

/// The prefill that a metric times: kPrefill leaves the final tokens out.
PrefillOptions options_for(Metric metric, PrefillOptions options);

/// Runs one batch, greedily and without stop tokens, so that every method does the same work.
/// @param options         as `options_for` gives them
/// @param max_new_tokens  of kGenerate
/// @return seconds
double time_batch(const Model& model, std::span<const TokenIds> prompts,
                  const PrefillOptions& options, Metric metric, int64_t max_new_tokens);

/// What such a run takes of memory.
/// @param plan  of the lengths with these options
BatchShape batch_shape(std::span<const int64_t> lengths, const PrefillPlan& plan,
                       const PrefillOptions& options, Metric metric, int64_t max_new_tokens,
                       at::Device device);

}  // namespace prepack::bench
