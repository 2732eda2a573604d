#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/bin_picture.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/output.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  PromptOptions prompts;
  BatchOptions batch;
  SamplingOptions sampling;
  int max_rows = 24;
  bool json = false;
};

/// Totals over all batches.
struct PlanTotals {
  int64_t num_forwards = 0;
  int64_t num_rows = 0;
  int64_t prompt_tokens = 0;
  int64_t computed_tokens = 0;
  int64_t num_proved = 0;     // batches whose number of bins is known to be the fewest possible
  int64_t padded_tokens = 0;  // what padding each batch to its longest prompt would compute

  void add(const PrefillPlan& plan, std::span<const int64_t> lengths) {
    num_forwards += static_cast<int64_t>(plan.forwards.size());
    num_rows += plan.num_rows;
    if (plan.optimality == Optimality::kProved) ++num_proved;
    prompt_tokens += plan.prompt_tokens;
    computed_tokens += plan.computed_tokens;
    padded_tokens += *std::ranges::max_element(lengths) * static_cast<int64_t>(lengths.size());
  }

  double efficiency() const {
    return static_cast<double>(prompt_tokens) /
           static_cast<double>(std::max<int64_t>(computed_tokens, 1));
  }
  double padding_saved() const {
    return 1.0 - static_cast<double>(computed_tokens) /
                     static_cast<double>(std::max<int64_t>(padded_tokens, 1));
  }
};

void print_json(const Options& options, const Job& job, const PlanTotals& totals,
                const nlohmann::ordered_json& batches) {
  const nlohmann::ordered_json json{
      {"method", options.batch.method},
      {"packing", options.batch.packing},
      {"token_budget", job.prefill.token_budget},
      {"num_prompts", job.prompts.size()},
      {"num_forwards", totals.num_forwards},
      {"num_rows", totals.num_rows},
      {"num_proved_batches", totals.num_proved},
      {"prompt_tokens", totals.prompt_tokens},
      {"computed_tokens", totals.computed_tokens},
      {"padded_tokens", totals.padded_tokens},
      {"predicted_peak_bytes", job.memory.total()},
      {"batches", batches},
  };
  write_standard_output(json.dump() + "\n");
}

void run(const Options& options) {
  const auto job = prepare_job(options.model, options.prompts, options.batch, options.sampling);
  if (job.measures_capacity) {
    throw UsageError("--capacity auto: is measured with the weights, which plan does not load");
  }
  PlanTotals totals;
  auto batches_json = nlohmann::ordered_json::array();
  std::string pictures;
  const auto batches = make_batches(job);
  for (size_t b = 0; b < batches.size(); ++b) {
    auto lengths = batch_lengths(job, batches[b]);
    const auto plan = plan_prefill(lengths, job.prefill);
    if (job.prefill.final_token == FinalToken::kFirstStep) {
      for (auto& length : lengths) --length;  // what the forwards compute
    }
    totals.add(plan, lengths);
    auto forwards = nlohmann::ordered_json::array();
    for (const auto& forward : plan.forwards) forwards.push_back(forward.bins);
    batches_json.push_back({{"first_prompt", batches[b].front()},
                            {"optimality", to_string(plan.optimality)},
                            {"forwards", forwards}});
    if (b == 0) {
      pictures += fmt::format("Batch 0 of {}: prompts {} to {}\n", batches.size(),
                              batches[b].front(), batches[b].back());
      pictures += draw_bins(plan, lengths, options.max_rows);
    }
  }
  if (options.json) {
    print_json(options, job, totals, batches_json);
    return;
  }
  write_standard_output(fmt::format(
      "{}\n"
      "method            {} ({})\n"
      "prompts           {} in {} batches of at most {}\n"
      "forwards          {} of at most {} tokens\n"
      "rows              {} (the fewest possible in {} of {} batches)\n"
      "prompt tokens     {}\n"
      "computed tokens   {} (packing efficiency {:.1f} %)\n"
      "padded batches    {} tokens, so {:.1f} % of them are saved\n"
      "predicted peak    {} ({} may be used)\n",
      pictures, options.batch.method, options.batch.packing, job.prompts.size(), batches.size(),
      job.batch_size, totals.num_forwards, job.prefill.token_budget, totals.num_rows,
      totals.num_proved, batches.size(), totals.prompt_tokens, totals.computed_tokens,
      100 * totals.efficiency(), totals.padded_tokens, 100 * totals.padding_saved(),
      format_bytes(job.memory.total()), format_bytes(job.memory_limit)));
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "plan", "Show how the prompts would be packed, without loading the weights");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->prompts.add_to(*command);
  options->batch.add_to(*command);
  options->sampling.add_to(*command);
  command->add_option("--rows", options->max_rows, "Most bins to draw")
      ->type_name("N")
      ->transform(whole_number(0, 1000000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object, with every bin");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
