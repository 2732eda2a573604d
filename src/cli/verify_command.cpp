#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/verdict.h"
#include "bench/verification.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

using bench::VariantDifferences;

struct Options {
  ModelOptions model;
  PromptOptions prompts;
  BatchOptions batch;
  int64_t max_new_tokens = 16;
  bool json = false;
};

/// The largest over all methods; with the caches and logits of the prompts alone, which are kept to
/// be compared with.
MemoryEstimate predict_largest_memory(Job& job) {
  MemoryEstimate largest;
  for (const auto& variant : bench::all_variants()) {
    job.prefill.method = variant.method;
    const auto memory = predict_memory(job);
    if (memory.total() > largest.total()) largest = memory;
  }
  largest.cache *= 2;
  largest.logits *= 2;
  return largest;
}

Job prepare(const Options& options) {
  auto batch = options.batch;
  // The token budget is chosen such that the methods with a mask have room for it.
  batch.method = to_string(PrefillMethod::kPackedRows);
  SamplingOptions sampling;
  sampling.max_new_tokens = options.max_new_tokens;
  auto job = prepare_job(options.model, options.prompts, batch, sampling);
  if (job.measures_capacity) {
    throw UsageError("--capacity auto: is measured for one method, and verify runs them all");
  }
  for (auto& prompt : job.prompts) prompt.request.max_new_tokens = options.max_new_tokens;
  job.memory = predict_largest_memory(job);
  require_memory(job);
  return job;
}

std::vector<VariantDifferences> verify_all(Job& job) {
  const auto model = load_model(job);
  auto variants = bench::all_variants();
  const auto runs_per_prompt = static_cast<int64_t>(variants.size()) + 1;  // and the prompt alone
  ProgressBar progress("runs", runs_per_prompt * static_cast<int64_t>(job.prompts.size()));
  int64_t done = 0;
  progress.show(done);
  for (const auto& batch : make_batches(job)) {
    bench::verify_batch(model, batch_requests(job, batch), job.prefill, variants,
                        [&](int64_t num_prompts) { progress.show(done += num_prompts); });
  }
  return variants;
}

const bench::Limits& limits_of(const Job& job) {
  return bench::limits_of(job.dtype, job.activations);
}

/// One sentence per measure and variant that failed.
std::vector<std::string> describe_failures(const Job& job,
                                           std::span<const VariantDifferences> variants) {
  std::vector<std::string> sentences;
  for (const auto& variant : variants) {
    for (const auto& failure : bench::find_failures(variant.prompts, limits_of(job))) {
      auto sentence =
          fmt::format("{}, final token by {}: prompt {}: {}", to_string(variant.method),
                      to_string(variant.final_token), job.prompts[failure.prompt].id, failure.what);
      if (failure.num_prompts > 1) {
        sentence += fmt::format(" (and {} more)", failure.num_prompts - 1);
      }
      sentences.push_back(std::move(sentence));
    }
  }
  return sentences;
}

void print_json(const Options& options, const Job& job,
                std::span<const VariantDifferences> variants,
                const std::vector<std::string>& failures) {
  auto rows = nlohmann::ordered_json::array();
  for (const auto& variant : variants) {
    const auto summary = bench::summarize(variant.prompts);
    rows.push_back({
        {"method", to_string(variant.method)},
        {"final_token", to_string(variant.final_token)},
        {"max_logit_difference", summary.max_logit},
        {"mean_logit_difference", summary.mean_logit},
        {"max_cache_difference", summary.max_cache},
        {"max_relative_cache_difference", summary.max_relative_cache},
        {"num_same_texts", summary.num_same_texts},
        {"num_same_top_tokens", summary.num_same_tops},
        {"mean_divergence", summary.mean_divergence},
        {"max_divergence", summary.max_divergence},
    });
  }
  const nlohmann::ordered_json json{
      {"equivalent", failures.empty()},
      {"failures", failures},
      {"normal", limits_of(job).normal},
      {"variants", rows},
      {"num_prompts", job.prompts.size()},
      {"max_new_tokens", options.max_new_tokens},
      {"batch_size", job.batch_size},
      {"token_budget", job.prefill.token_budget},
      {"dtype", to_string(job.dtype)},
      {"device", job.device.str()},
      {"threads", job.threads},
  };
  write_standard_output(json.dump() + "\n");
}

void print_table(const Options& options, const Job& job,
                 std::span<const VariantDifferences> variants,
                 const std::vector<std::string>& failures) {
  const size_t num_prompts = job.prompts.size();
  auto text = fmt::format(
      "{} prompts in batches of at most {}, on {}, {}: differences from each prompt run alone\n\n"
      "{:<11} {:<11} {:>9} {:>10} {:>9} {:>9} {:>10} {:>10} {:>9} {:>9}\n",
      num_prompts, job.batch_size, job.device.str(), to_string(job.dtype), "method", "final token",
      "max logit", "mean logit", "cache", "relative", "same texts", "same top", "mean KL",
      "max KL");
  for (const auto& variant : variants) {
    const auto summary = bench::summarize(variant.prompts);
    text += fmt::format(
        "{:<11} {:<11} {:>9.1e} {:>10.1e} {:>9.1e} {:>9.1e} {:>10} {:>10} {:>9.1e} {:>9.1e}\n",
        to_string(variant.method), to_string(variant.final_token), summary.max_logit,
        summary.mean_logit, summary.max_cache, summary.max_relative_cache,
        fmt::format("{}/{}", summary.num_same_texts, num_prompts),
        fmt::format("{}/{}", summary.num_same_tops, num_prompts), summary.mean_divergence,
        summary.max_divergence);
  }
  text += fmt::format("\nnormal in {}: {}\n", to_string(job.dtype), limits_of(job).normal);
  for (const auto& failure : failures) text += "failed: " + failure + "\n";
  if (failures.empty()) {
    text += fmt::format("verdict: equivalent, with greedy texts of at most {} tokens\n",
                        options.max_new_tokens);
  } else {
    text += "verdict: not equivalent\n";
  }
  write_standard_output(text);
}

void run(const Options& options) {
  auto job = prepare(options);
  const auto variants = verify_all(job);
  const auto failures = describe_failures(job, variants);
  if (options.json) {
    print_json(options, job, variants, failures);
  } else {
    print_table(options, job, variants, failures);
  }
  if (failures.empty()) return;
  flush_standard_output();  // before the error
  throw Error(fmt::format("not equivalent to each prompt run alone: {}", failures.front()));
}

}  // namespace

void add_verify_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "verify",
      "Compare every method with each prompt run alone: logits, caches and greedy texts; fails "
      "where they differ by more than rounding");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->prompts.add_to(*command);
  options->batch.add_batch_size_to(*command);
  options->batch.add_packing_to(*command);
  command
      ->add_option("-n,--max-new-tokens", options->max_new_tokens,
                   "Greedy tokens to compare of each prompt, where the model does not end it")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->capture_default_str();
  command->add_flag("--json", options->json,
                    "Print one JSON object; null where a value is not a number");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
