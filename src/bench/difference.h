#pragma once

#include <cstdint>
#include <optional>

#include "prepack/prefill.h"
#include "prepack/token.h"

namespace prepack::bench {

/// Where two greedy texts of a prompt part.
struct Parting {
  int64_t token = 0;          // counted from 0
  std::optional<double> gap;  // between the two largest logits of the prompt alone, at that token
};

/// How far what a batch gives for a prompt lies from what the prompt gives when it runs alone.
/// What is not a number is infinitely far off, so that it can never pass for the same.
struct PromptDifference {
  double max_logit = 0;  // of the next token's logits
  double mean_logit = 0;
  double cache = 0;           // largest of all keys and values
  double relative_cache = 0;  // largest, as a part of the largest key or value of its layer, or of
                              // 1 where that is larger
  double divergence = 0;      // Kullback-Leibler, in nats: from the prompt alone to the batch
  bool same_top = true;       // the same next token is the likeliest
  double lead = 0;            // logits by which the prompt alone prefers its likeliest token to the
                              // one that is likeliest in the batch
  std::optional<Parting> parting;  // absent: the same greedy text
};

/// Compares one row of two states: next-token logits and every filled slot of the cache; not texts.
/// @param actual, expected  of the same model and prompts, with no final tokens left to do
PromptDifference compare_row(const DecodeState& actual, const DecodeState& expected, int64_t row);

/// The first token that is not in both texts; absent where they are the same.
std::optional<Parting> find_parting(const TokenIds& actual, const TokenIds& expected);

}  // namespace prepack::bench
