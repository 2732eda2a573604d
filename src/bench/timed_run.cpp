#include "bench/timed_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "prepack/decode.h"
#include "prepack/error.h"

namespace prepack::bench {
namespace {

/// Slots that a prompt needs beyond its own: the last new token is not fed back.
int64_t new_slots(Metric metric, int64_t max_new_tokens) {
  return metric == Metric::kGenerate ? max_new_tokens - 1 : 0;
}

}  // namespace

std::string_view to_string(Metric metric) {
  switch (metric) {
    case Metric::kPrefill:
      return "prefill";
    case Metric::kTtft:
      return "ttft";
    case Metric::kGenerate:
      return "generate";
  }
  throw InvalidArgument("metric: not one of the enumerators");
}

Metric parse_metric(std::string_view name) {
  for (auto metric : {Metric::kPrefill, Metric::kTtft, Metric::kGenerate}) {
    if (name == to_string(metric)) return metric;
  }
  throw InvalidArgument(fmt::format("expected prefill, ttft or generate, got {}", name));
}

PrefillOptions options_for(Metric metric, PrefillOptions options) {
  if (metric == Metric::kPrefill) options.final_token = FinalToken::kFirstStep;
  return options;
}

double time_batch(const Model& model, std::span<const TokenIds> prompts,
                  const PrefillOptions& options, Metric metric, int64_t max_new_tokens) {
  int64_t longest = 0;
  for (const auto& prompt : prompts) {
    longest = std::max(longest, static_cast<int64_t>(prompt.size()));
  }
  RunStats run;
  auto state = prefill(model, prompts, options, longest + new_slots(metric, max_new_tokens), &run);
  if (metric == Metric::kPrefill) return run.prefill_s;
  std::vector<DecodeRequest> requests;
  for (const auto& prompt : prompts) {
    requests.push_back({.sampler = Sampler(SamplingParams{}, /*stream=*/0, prompt),
                        .max_new_tokens = metric == Metric::kTtft ? 1 : max_new_tokens});
  }
  decode(model, std::move(state), requests, {}, &run);
  // Without the caches' end, which comes after the last token.
  const double first_token_s = run.prefill_s + run.ttft_s;
  return metric == Metric::kTtft ? first_token_s : first_token_s + run.decode_s;
}

BatchShape batch_shape(std::span<const int64_t> lengths, const PrefillPlan& plan,
                       const PrefillOptions& options, Metric metric, int64_t max_new_tokens,
                       at::Device device) {
  const auto num_prompts = static_cast<int64_t>(lengths.size());
  const int64_t more = new_slots(metric, max_new_tokens);
  const int64_t written = std::reduce(lengths.begin(), lengths.end()) + num_prompts * more;
  const int64_t allocated = num_prompts * (*std::ranges::max_element(lengths) + more);
  return {
      .num_prompts = num_prompts,
      .cache_slots = device.is_cpu() && !options.padded_cache ? written : allocated,
      .max_forward_tokens = plan.max_forward_tokens,
      .max_mask_elements = plan.max_mask_elements,
      .max_row_len = plan.max_row_len,
  };
}

}  // namespace prepack::bench
