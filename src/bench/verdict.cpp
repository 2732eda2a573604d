#include "bench/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "kernels/byte_tiles_product.h"

namespace prepack::bench {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

using Measure = std::function<double(const PromptDifference&)>;

double mean_of(std::span<const PromptDifference> prompts, const Measure& measure) {
  double sum = 0;
  for (const auto& prompt : prompts) sum += measure(prompt);
  return prompts.empty() ? 0 : sum / static_cast<double>(prompts.size());
}

/// The prompts that exceed a limit, and the one that does so most; absent where there are none.
std::optional<Failure> find_excess(std::span<const PromptDifference> prompts, double limit,
                                   const Measure& measure) {
  Failure failure;
  double largest = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const double value = measure(prompts[i]);
    if (value <= limit) continue;
    if (failure.num_prompts++ == 0 || value > largest) {
      largest = value;
      failure.prompt = static_cast<int64_t>(i);
    }
  }
  if (failure.num_prompts == 0) return std::nullopt;
  return failure;
}

std::string describe_parting(const Parting& parting, double logit_limit) {
  auto text = fmt::format("another greedy text from token {} on", parting.token);
  if (parting.gap) {
    text += fmt::format(", where the two likeliest tokens are {:.2g} apart", *parting.gap);
    // Each of the two may be off by the limit.
    if (*parting.gap <= 2 * logit_limit) text += ": a near-tie";
  }
  return text;
}

class FailureFinder {
 public:
  FailureFinder(std::span<const PromptDifference> prompts, const Limits& limits)
      : prompts_(prompts), limits_(limits) {}

  std::vector<Failure> find() {
    check_each("logits differ by", limits_.logit, &PromptDifference::max_logit);
    check_each("keys and values differ, as a part of the largest, by", limits_.relative_cache,
               &PromptDifference::relative_cache);
    check_texts();
    check_each("the next token's distributions have a KL divergence of", limits_.divergence,
               &PromptDifference::divergence);
    check_mean_divergence();
    check_tops();
    return std::move(failures_);
  }

 private:
  void check_each(std::string_view what, double limit, double PromptDifference::*measure) {
    if (auto failure = find_excess(prompts_, limit, std::mem_fn(measure))) {
      failure->what = fmt::format("{} {:.2g}, where {:.2g} is allowed", what,
                                  prompts_[failure->prompt].*measure, limit);
      failures_.push_back(std::move(*failure));
    }
  }

  void check_texts() {
    if (!limits_.same_texts) return;
    auto failure = find_excess(prompts_, 0, [](const auto& p) { return p.parting ? 1 : 0; });
    if (!failure) return;
    failure->what = describe_parting(*prompts_[failure->prompt].parting, limits_.logit);
    failures_.push_back(std::move(*failure));
  }

  void check_mean_divergence() {
    const double mean = mean_of(prompts_, std::mem_fn(&PromptDifference::divergence));
    if (mean <= limits_.mean_divergence) return;
    auto failure =
        *find_excess(prompts_, limits_.mean_divergence, std::mem_fn(&PromptDifference::divergence));
    failure.what = fmt::format("mean KL divergence of {:.2g}, where {:.2g} is allowed", mean,
                               limits_.mean_divergence);
    failures_.push_back(std::move(failure));
  }

  void check_tops() {
    const auto lead = [](const auto& p) { return p.same_top ? 0 : p.lead; };
    auto failure = find_excess(prompts_, limits_.near_tie, lead);
    if (!failure) return;
    const double agreement =
        1 - static_cast<double>(failure->num_prompts) / static_cast<double>(prompts_.size());
    if (agreement >= limits_.top_agreement) return;
    failure->what = fmt::format("another likeliest token, though the prompt's own leads by {:.2g}",
                                prompts_[failure->prompt].lead);
    failures_.push_back(std::move(*failure));
  }

  std::span<const PromptDifference> prompts_;
  const Limits& limits_;
  std::vector<Failure> failures_;
};

}  // namespace

DifferenceSummary summarize(std::span<const PromptDifference> prompts) {
  DifferenceSummary summary;
  for (const auto& prompt : prompts) {
    summary.max_logit = std::max(summary.max_logit, prompt.max_logit);
    summary.max_cache = std::max(summary.max_cache, prompt.cache);
    summary.max_relative_cache = std::max(summary.max_relative_cache, prompt.relative_cache);
    summary.max_divergence = std::max(summary.max_divergence, prompt.divergence);
    if (!prompt.parting) ++summary.num_same_texts;
    if (prompt.same_top) ++summary.num_same_tops;
  }
  summary.mean_logit = mean_of(prompts, std::mem_fn(&PromptDifference::mean_logit));
  summary.mean_divergence = mean_of(prompts, std::mem_fn(&PromptDifference::divergence));
  return summary;
}

const Limits& limits_of(DType dtype, Activations activations) {
  // In half precision the products' blocking, which depends on the shape of the batch, already
  // changes the last bits. What is normal was measured with SmolLM2-135M; the limits lie ten times
  // and more above it, far below what a prompt that reads its neighbours is off by. A lead may be
  // overturned where each of the two logits is off by the most that is normal.
  static const std::map<DType, Limits> kLimits = {
      {DType::kFloat32,
       {.normal = "logits within 0.0001, caches within 0.0001 of their largest values, the same "
                  "greedy texts",
        .same_texts = true,
        .logit = 1e-4,
        .relative_cache = 1e-4,
        .mean_divergence = kNoLimit,
        .divergence = kNoLimit,
        .near_tie = kNoLimit}},
      {DType::kBFloat16,
       {.normal = "logits within 0.5, caches within 3 % of their largest values, KL divergence of "
                  "0.002 in the mean and 0.005 at most; likeliest tokens, and so texts, that "
                  "change at near-ties",
        .logit = kNoLimit,
        .relative_cache = 0.25,
        .mean_divergence = 0.05,
        .divergence = 0.5,
        .near_tie = 1,
        .top_agreement = 0.95}},
      {DType::kFloat16,
       {.normal = "logits within 0.08, caches within 1 % of their largest values, KL divergence of "
                  "0.00005 in the mean and 0.0002 at most; likeliest tokens, and so texts, that "
                  "change at near-ties",
        .logit = kNoLimit,
        .relative_cache = 0.1,
        .mean_divergence = 2e-3,
        .divergence = 2e-2,
        .near_tie = 0.15,
        .top_agreement = 0.95}},
  };
  // What differs by a bit of float32 may be rounded to another of the 65535 values, or of the 255.
  static const std::map<Activations, Limits> kRoundedLimits = {
      {Activations::kInt16,
       {.normal = "logits within 0.007, caches within 0.0006 of their largest values, KL "
                  "divergence of 0.0000001 in the mean and 0.000001 at most; likeliest tokens, and "
                  "so texts, that change at near-ties",
        .logit = kNoLimit,
        .relative_cache = 0.006,
        .mean_divergence = 1e-6,
        .divergence = 1e-5,
        .near_tie = 0.015,
        .top_agreement = 0.95}},
      {Activations::kInt8,
       {.normal = "logits within 0.9, caches within 8 % of their largest values, KL divergence of "
                  "0.003 in the mean and 0.015 at most; likeliest tokens, and so texts, that "
                  "change at near-ties",
        .logit = kNoLimit,
        .relative_cache = 0.5,
        .mean_divergence = 0.05,
        .divergence = 0.5,
        .near_tie = 1.8,
        .top_agreement = 0.95}},
  };
  // With AMX, of four prompts on an emulation; weights of 4 bits differ by less.
  static const Limits kTiledLimits = {
      .normal =
          "logits within 2, caches within 11 % of their largest values, KL divergence of "
          "0.012 in the mean and 0.02 at most; likeliest tokens, and so texts, that change "
          "at near-ties",
      .logit = kNoLimit,
      .relative_cache = 0.5,
      .mean_divergence = 0.1,
      .divergence = 0.5,
      .near_tie = 4,
      .top_agreement = 0.95};
  if (activations == Activations::kInt8 && can_multiply_byte_tiles()) return kTiledLimits;
  const bool outweighs_dtype = activations == Activations::kInt8 ||
                               (activations == Activations::kInt16 && dtype == DType::kFloat32);
  if (outweighs_dtype) return kRoundedLimits.at(activations);
  return kLimits.at(dtype);
}

std::vector<Failure> find_failures(std::span<const PromptDifference> prompts,
                                   const Limits& limits) {
  return FailureFinder(prompts, limits).find();
}

}  // namespace prepack::bench
