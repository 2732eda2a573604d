#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <span>

#include "bench/comparison.h"
#include "bench/comparison_json.h"
#include "bench/comparison_table.h"
#include "bench/environment.h"
#include "cli/commands.h"
#include "cli/data_sets.h"
#include "cli/job.h"
#include "cli/output.h"
#include "cli/progress.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  DataSetOptions data_sets;
  BatchOptions batch;
  std::vector<std::string> methods = {"packed", "packed-rows", "padded", "length-ordered",
                                      "dataset-packed"};
  std::vector<std::string> metrics = {"prefill", "ttft"};
  std::vector<int64_t> batch_sizes = {32};
  int64_t runs = 5;
  int64_t max_batches = 0;
  int64_t max_new_tokens = 16;
  uint64_t seed = 1;
  std::string json_file;
  std::string csv_file;
  bool exact_caches = false;
  bool quiet = false;
};

bench::ComparisonOptions comparison_options(const Options& options, const Job& job) {
  return {
      .methods = parse_list("--methods", options.methods, bench::parse_compared_method),
      .metrics = parse_list("--metrics", options.metrics, bench::parse_metric),
      .batch_sizes = each_once(options.batch_sizes),
      .runs = options.runs,
      .max_new_tokens = options.max_new_tokens,
      .seed = options.seed,
      .max_batches = options.max_batches,
      .prefill = job.prefill,
      .exact_caches = options.exact_caches,
      .memory_limit = job.memory_limit,
  };
}

void require_different_files(const Options& options) {
  auto inputs = options.data_sets.prompts.files;
  for (const auto& output : {options.json_file, options.csv_file}) {
    for (const auto& other : inputs) {
      if (!output.empty() && same_file(output, other)) {
        throw UsageError(fmt::format("--json, --csv and --prompts: {} is given twice", output));
      }
    }
    inputs.push_back(output);
  }
}

/// The longest prompt must fit a forward, and a bin.
void require_room(const std::vector<bench::DataSet>& data_sets, const PrefillOptions& prefill) {
  for (const auto& data_set : data_sets) {
    for (size_t i = 0; i < data_set.prompts.size(); ++i) {
      const auto length = static_cast<int64_t>(data_set.prompts[i].size());
      const auto require = [&](const char* option, int64_t tokens) {
        if (tokens == 0 || length <= tokens) return;
        throw UsageError(fmt::format("{} {}: prompt {} of {} has {} tokens", option, tokens, i,
                                     data_set.name, length));
      };
      require("--token-budget", prefill.token_budget);
      require("--capacity", prefill.capacity);
    }
  }
  if (prefill.token_budget > 0 && prefill.capacity > prefill.token_budget) {
    throw UsageError("--capacity: is more than --token-budget");
  }
}

void run(const Options& options) {
  require_different_files(options);
  const auto job = prepare_model_job(options.model, options.batch);
  if (job.measures_capacity) {
    throw UsageError("--capacity auto: measure it with prefill, and give compare the number");
  }
  const auto comparison = comparison_options(options, job);
  const auto data_sets = read_data_sets(options.data_sets, job, options.seed);
  require_room(data_sets, comparison.prefill);
  ReportFile json_file(options.json_file);
  ReportFile csv_file(options.csv_file);
  const auto model = load_model(job);

  constexpr int64_t kParts = 1000;
  ProgressBar progress("per mille", kParts);
  const auto environment =
      bench::describe_environment(model, folder_name(job.model_folder), job.threads);
  // Written whenever there is more, so that what ends the program early loses little.
  const auto write = [&](std::span<const bench::MethodResult> results) {
    json_file.write(bench::format_json(environment, data_sets, comparison, results));
    csv_file.write(bench::format_csv(results));
  };
  const auto show = [&](double done) { progress.show(static_cast<int64_t>(done * kParts)); };
  const auto results =
      bench::compare(model, data_sets, comparison, {.on_progress = show, .on_results = write});
  progress.clear();
  if (!options.quiet) write_standard_output(bench::format_table(results, model));
}

}  // namespace

void add_compare_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "compare", "Time packing against padding on data sets: time, memory and utilisation");
  const auto options = std::make_shared<Options>();
  constexpr const char* kGroup = "Comparison";
  options->model.add_to(*command);
  options->data_sets.add_to(*command);
  options->batch.add_packing_to(*command);
  options->batch.add_final_token_to(*command);
  command
      ->add_option("--methods", options->methods,
                   "packed, packed-rows, padded, length-ordered, dataset-packed")
      ->delimiter(',')
      ->type_name("NAMES")
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option(
          "--metrics", options->metrics,
          "prefill: to the keys and values of all but the final tokens, the paper's; ttft: "
          "until every first token is drawn; generate: until the last token is")
      ->delimiter(',')
      ->type_name("NAMES")
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option("--batch-size", options->batch_sizes,
                   "Prompts of a batch; of dataset-packed its rows. Several: 16,32,64")
      ->delimiter(',')
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->group(kGroup);
  command->add_option("--runs", options->runs, "How often each batch is timed")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option("--max-batches", options->max_batches,
                   "Batches of each method, spread evenly over all of them [default: all]")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 40))
      ->group(kGroup);
  command->add_option("-n,--max-new-tokens", options->max_new_tokens, "Tokens that generate adds")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->capture_default_str()
      ->group(kGroup);
  command->add_option("--seed", options->seed, "Of the random batches and data sets")
      ->type_name("N")
      ->transform(any_seed())
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_flag(
          "--exact-caches", options->exact_caches,
          "Give padded batches caches of exact length too; otherwise theirs are padded to the "
          "longest prompt, as in ordinary batching")
      ->group(kGroup);
  command->add_option("--json", options->json_file, "Write everything measured to this file")
      ->type_name("FILE")
      ->group(kGroup);
  command->add_option("--csv", options->csv_file, "Write the results to this file")
      ->type_name("FILE")
      ->group(kGroup);
  command->add_flag("-q,--quiet", options->quiet, "Print no table")->group(kGroup);
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
