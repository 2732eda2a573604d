#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/difference.h"
#include "prepack/dtype.h"

namespace prepack::bench {

/// The differences of many prompts in a few numbers.
struct DifferenceSummary {
  double max_logit = 0;
  double mean_logit = 0;
  double max_cache = 0;
  double max_relative_cache = 0;
  int64_t num_same_texts = 0;
  int64_t num_same_tops = 0;
  double mean_divergence = 0;
  double max_divergence = 0;
};

DifferenceSummary summarize(std::span<const PromptDifference> prompts);

/// What is normal, and what is not allowed: more than that comes from something else than rounding.
struct Limits {
  std::string normal;          // one line, for the reader
  bool same_texts = false;     // the greedy texts must be the same
  double logit = 0;            // of any prompt
  double relative_cache = 0;   // of any prompt
  double mean_divergence = 0;  // over all prompts
  double divergence = 0;       // of any prompt
  double near_tie = 0;         // a likeliest token that leads by no more than this may change
  double top_agreement = 0;    // part of the prompts with the same likeliest token, or a near-tie
};

/// @param activations  Model::activations
const Limits& limits_of(DType dtype, Activations activations = Activations::kAsComputed);

/// One measure that exceeds its limit.
struct Failure {
  int64_t prompt = 0;       // the one that is farthest off
  int64_t num_prompts = 0;  // that exceed the limit
  std::string what;
};

/// No failures: the prompts pass.
std::vector<Failure> find_failures(std::span<const PromptDifference> prompts, const Limits& limits);

}  // namespace prepack::bench
