#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bench/difference.h"
#include "prepack/generate.h"
#include "prepack/model.h"
#include "prepack/prefill.h"

namespace prepack::bench {

/// One way to prefill, and what it gives differently for each prompt, in the caller's order.
struct VariantDifferences {
  PrefillMethod method = PrefillMethod::kPacked;
  FinalToken final_token = FinalToken::kPrefill;
  std::vector<PromptDifference> prompts = {};
};

/// Every method with each place of the final token, without prompts yet.
std::vector<VariantDifferences> all_variants();

/// What prefill is to give: each prompt run by itself, a plain causal forward without neighbours or
/// padding, and the results put together.
DecodeState prefill_alone(const Model& model, std::span<const TokenIds> prompts,
                          int64_t cache_capacity);

/// Called each time that some prompts have gone through prefill and decoding.
using RunObserver = std::function<void(int64_t num_prompts)>;

/// Runs each prompt alone and then all of them together in every variant, and adds the differences.
/// Texts are greedy, whatever the requests' sampling is; stop texts are not looked for.
/// @param options  of the packing; method and final token are the variant's
void verify_batch(const Model& model, std::span<const GenerationRequest> requests,
                  const PrefillOptions& options, std::vector<VariantDifferences>& variants,
                  const RunObserver& on_runs = {});

}  // namespace prepack::bench
