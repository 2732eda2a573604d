#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "base/stopwatch.h"
#include "bench/process_age.h"
#include "bench/resource_monitor.h"
#include "bench/throughput_report.h"
#include "bench/timed_run.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  std::vector<int64_t> prompt_tokens = {32, 128, 512};
  std::vector<int64_t> batch_sizes = {1, 8};
  int64_t decode_tokens = 16;
  int64_t runs = 3;
  bool profiles = false;
  std::string json_file;
};

void require_positions(const Options& options, const ModelConfig& config) {
  const int64_t longest = std::ranges::max(options.prompt_tokens);
  const int64_t most = config.max_position_embeddings;
  if (longest > most) {
    throw UsageError(fmt::format("--prompt-tokens {}: the model takes at most {}", longest, most));
  }
  if (longest + options.decode_tokens > most) {
    throw UsageError(
        fmt::format("--decode-tokens {}: after prompts of {} tokens the model takes at most {}",
                    options.decode_tokens, longest, most - longest));
  }
}

/// What the largest batch takes of memory.
/// @param token_budget  0: without its activations
MemoryEstimate largest_batch(const bench::ThroughputOptions& options, const Job& job,
                             int64_t token_budget) {
  const int64_t num_prompts = std::ranges::max(options.batch_sizes);
  const int64_t longest = std::ranges::max(options.prompt_lens);
  return estimate_memory(job.config, job.dtype, job.device,
                         {.num_prompts = num_prompts,
                          .cache_slots = num_prompts * (longest + options.decode_steps),
                          .max_forward_tokens = std::min(token_budget, num_prompts * longest)},
                         {job.quantization, job.activations}, job.known_bytes);
}

/// Chooses the token budget and predicts the peak of memory.
void plan_memory(bench::ThroughputOptions& options, Job& job) {
  const int64_t longest = std::ranges::max(options.prompt_lens);
  const int64_t free = job.memory_limit - largest_batch(options, job, 0).total();
  options.prefill.token_budget = default_token_budget(job.config, job.dtype, job.device,
                                                      options.prefill.method, longest, free);
  job.memory = largest_batch(options, job, options.prefill.token_budget);
}

/// For the batches, and for the ceilings, which are not measured at the same time.
void require_memory(const bench::ThroughputOptions& options, const Job& job) {
  const int64_t for_ceilings = job.memory.weights + job.memory.libraries +
                               bench::ceiling_bytes(job.config, job.dtype, job.device);
  const int64_t needed = std::max(job.memory.total(), for_ceilings);
  if (needed <= job.memory_limit) return;
  throw OutOfMemory(fmt::format(
      "measuring needs about {} (batches of {} prompts {}, ceilings {}), and {} may be used",
      format_bytes(needed), std::ranges::max(options.batch_sizes), format_bytes(job.memory.total()),
      format_bytes(for_ceilings), format_bytes(job.memory_limit)));
}

/// The first prompt of the process, timed from its start.
bench::StartUp run_first_prompt(const Model& model, const bench::ThroughputOptions& options,
                                double load_s) {
  bench::StartUp start_up{.load_s = load_s, .prompt_len = std::ranges::min(options.prompt_lens)};
  const auto prompts =
      bench::throughput_prompts(model.config(), 1, start_up.prompt_len, options.seed);
  bench::time_batch(model, prompts, options.prefill, bench::Metric::kTtft, 1);
  start_up.first_token_s = bench::process_age_s();
  return start_up;
}

void run(const Options& options) {
  auto job = prepare_model_job(options.model, {});
  bench::ThroughputReport report;
  report.options = {
      .batch_sizes = each_once(options.batch_sizes),
      .prompt_lens = each_once(options.prompt_tokens),
      .decode_steps = options.decode_tokens,
      .runs = options.runs,
      .profiles = options.profiles,
      .prefill = job.prefill,
  };
  require_positions(options, job.config);
  if (options.profiles && !job.device.is_cpu()) {
    throw UsageError("--profile: only what runs on a CPU can be measured by part");
  }
  plan_memory(report.options, job);
  require_memory(report.options, job);
  report.predicted_bytes = job.memory.total();
  ReportFile json_file(options.json_file);

  const Stopwatch load_time;
  const auto model = load_model(job);
  report.start_up = run_first_prompt(model, report.options, load_time.seconds());
  report.environment =
      bench::describe_environment(model, folder_name(job.model_folder), job.threads);

  const auto measure_ceilings = [&] {
    return bench::measure_ceilings(job.config, job.dtype, job.device);
  };
  report.ceilings_before = measure_ceilings();
  {
    const bench::PeakMemoryMeter memory(job.device);
    constexpr int64_t kParts = 1000;
    ProgressBar progress("per mille", kParts);
    report.results = bench::measure_throughput(model, report.options, [&](double done) {
      progress.show(static_cast<int64_t>(done * kParts));
    });
    report.peak_bytes = memory.whole_peak_bytes();
  }
  report.ceilings_after = measure_ceilings();
  json_file.write(bench::format_json(report, model));
  write_standard_output(bench::format_table(report, model));
}

}  // namespace

void add_bench_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "bench",
      "Measure prefill and decode throughput beside what this machine's products and memory do at "
      "best");
  const auto options = std::make_shared<Options>();
  constexpr const char* kGroup = "Measurement";
  options->model.add_to(*command);
  command
      ->add_option("--prompt-tokens", options->prompt_tokens,
                   "Tokens of each prompt, which are random. Several: 32,128,512")
      ->delimiter(',')
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 24))
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option("--batch-size", options->batch_sizes,
                   "Prompts that are computed together. Several: 1,8,32")
      ->delimiter(',')
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option("--decode-tokens", options->decode_tokens,
                   "Decode steps after each prompt; 0: none")
      ->type_name("N")
      ->transform(whole_number(0, int64_t{1} << 24))
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_option("--runs", options->runs, "How often each batch is timed, after once that is not")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->group(kGroup);
  command
      ->add_flag("--profile", options->profiles,
                 "Show where the time goes: attention, each product, norms, sampling and so on")
      ->group(kGroup);
  command->add_option("--json", options->json_file, "Write everything measured to this file")
      ->type_name("FILE")
      ->group(kGroup);
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
