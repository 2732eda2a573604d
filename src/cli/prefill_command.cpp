#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/stopwatch.h"
#include "bench/statistics.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/logits_file.h"
#include "cli/measured_capacity.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "prepack/decode.h"
#include "prepack/device.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  PromptOptions prompts;
  BatchOptions batch;
  std::string logits_file;
  int repeat = 1;
  bool json = false;
};

/// Draws the first token of every prompt, greedily: the end of the time to first token.
void sample_first_tokens(const Job& job, const Batch& batch, at::Tensor logits) {
  std::vector<Sampler> samplers;
  for (size_t i : batch) {
    samplers.emplace_back(SamplingParams{}, i, job.prompts[i].request.prompt_ids);
  }
  std::vector<Sampler*> pointers;
  for (auto& sampler : samplers) pointers.push_back(&sampler);
  sample_rows(logits, pointers);
}

/// One prefill of all prompts, batch by batch.
/// @param logits_file  if given, takes the next-token logits
RunStats prefill_all(const Job& job, const Model& model, LogitsFile* logits_file,
                     const std::function<void(size_t)>& on_batch) {
  RunStats stats;
  for (const auto& batch : make_batches(job)) {
    const auto prompts = batch_prompts(job, batch);
    const Stopwatch stopwatch;
    auto state = prefill(model, prompts, job.prefill, batch_lengths(job, batch), &stats);
    decode_final_tokens(model, state);
    sample_first_tokens(job, batch, state.logits);
    stats.ttft_s += stopwatch.seconds();
    if (logits_file != nullptr) logits_file->write(batch, state.logits);
    on_batch(batch.size());
  }
  return stats;
}

struct Measurements {
  double load_s = 0;
  std::vector<double> prefill_s;
  std::vector<double> ttft_s;
  RunStats counts;  // of one repetition
};

void print_json(const Job& job, const Measurements& measured) {
  nlohmann::ordered_json json{
      {"load_s", measured.load_s},
      {"prefill_s", measured.prefill_s},
      {"ttft_s", measured.ttft_s},
      {"num_prompts", measured.counts.num_prompts},
      {"prompt_tokens", measured.counts.prompt_tokens},
      {"computed_tokens", measured.counts.computed_tokens},
      {"shared_tokens", measured.counts.shared_tokens},
      {"num_rows", measured.counts.num_rows},
      {"num_forwards", measured.counts.num_forwards},
      {"token_budget", job.prefill.token_budget},
      {"capacity", job.prefill.capacity},
      {"batch_size", job.batch_size},
      {"peak_rss_bytes", peak_resident_memory()},
      {"predicted_peak_bytes", job.memory.total()},
      {"method", to_string(job.prefill.method)},
      {"dtype", to_string(job.dtype)},
      {"device", job.device.str()},
      {"threads", job.threads},
  };
  if (job.quantization) json["quantization"] = to_string(*job.quantization);
  if (job.activations != Activations::kAsComputed) {
    json["activations"] = to_string(job.activations);
  }
  if (job.device.is_cuda()) json["peak_device_bytes"] = peak_device_memory(job.device);
  write_standard_output(json.dump() + "\n");
}

void print_table(const Job& job, const Measurements& measured) {
  const auto& counts = measured.counts;
  const bool leaves_final = job.prefill.final_token == FinalToken::kFirstStep;
  const int64_t prefilled = counts.prompt_tokens - (leaves_final ? counts.num_prompts : 0);
  const double prefill_s = bench::median(measured.prefill_s);
  const auto shared =
      counts.shared_tokens > 0 ? fmt::format(", {} shared", counts.shared_tokens) : std::string();
  const auto rounding = rounding_note(job.quantization, job.activations);
  write_standard_output(fmt::format(
      "method            {} on {}, {}{}, {} threads\n"
      "prompts           {} in batches of at most {}\n"
      "prompt tokens     {}\n"
      "computed tokens   {} (packing efficiency {:.1f} %{})\n"
      "rows              {} in {} forwards of at most {} tokens{}\n"
      "load              {:.3f} s\n"
      "prefill           {:.3f} s (median of {}), {:.0f} prompt tokens/s\n"
      "first token       {:.3f} s (median of {})\n"
      "peak memory       {} ({} predicted)\n",
      to_string(job.prefill.method), job.device.str(), to_string(job.dtype), rounding, job.threads,
      counts.num_prompts, job.batch_size, counts.prompt_tokens, counts.computed_tokens,
      100.0 * static_cast<double>(prefilled - counts.shared_tokens) /
          static_cast<double>(std::max<int64_t>(counts.computed_tokens, 1)),
      shared, counts.num_rows, counts.num_forwards, job.prefill.token_budget,
      job.prefill.capacity > 0 ? fmt::format(", bins of {}", job.prefill.capacity) : "",
      measured.load_s, prefill_s, measured.prefill_s.size(),
      static_cast<double>(prefilled) / prefill_s, bench::median(measured.ttft_s),
      measured.ttft_s.size(), format_bytes(peak_resident_memory()),
      format_bytes(job.memory.total())));
}

/// Refuses to replace prompts. Prompts that share beginnings are computed in another order than
/// theirs.
void require_logits_file(const Options& options) {
  namespace fs = std::filesystem;
  const auto& file = options.logits_file;
  require_no_prompt_file("--save-logits", file, options.prompts);
  if (options.batch.shares_prefixes && fs::exists(file) && !fs::is_regular_file(file)) {
    throw UsageError(fmt::format(
        "--save-logits {}: with --share-prefixes it must be a regular file, not a pipe or device",
        file));
  }
}

void run(const Options& options) {
  require_logits_file(options);
  auto job = prepare_job(options.model, options.prompts, options.batch, std::nullopt);
  require_memory(job);
  Measurements measured;
  std::optional<LogitsFile> logits_file;
  if (!options.logits_file.empty()) {
    logits_file.emplace(options.logits_file, static_cast<int64_t>(job.prompts.size()),
                        job.config.vocab_size);
  }
  const Stopwatch load_time;
  const auto model = load_model(job);
  measured.load_s = load_time.seconds();
  choose_capacity(job, model);

  {
    ProgressBar progress("prompts", options.repeat * static_cast<int64_t>(job.prompts.size()));
    int64_t done = 0;
    for (int i = 0; i < options.repeat; ++i) {
      progress.show(done);
      measured.counts = prefill_all(
          job, model, i == 0 && logits_file ? &*logits_file : nullptr,
          [&](size_t num_prompts) { progress.show(done += static_cast<int64_t>(num_prompts)); });
      measured.prefill_s.push_back(measured.counts.prefill_s);
      measured.ttft_s.push_back(measured.counts.ttft_s);
    }
  }
  if (logits_file) logits_file->finish();
  if (options.json) {
    print_json(job, measured);
  } else {
    print_table(job, measured);
  }
}

}  // namespace

void add_prefill_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "prefill", "Run prefill alone; print times, tokens, packing efficiency and peak memory");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->prompts.add_to(*command);
  options->batch.add_to(*command);
  options->batch.add_share_prefixes_to(*command);
  command
      ->add_option("--save-logits", options->logits_file,
                   "Write the next-token logits [num_prompts, vocab_size] in float32, in the "
                   "caller's order, as \"logits\" of a safetensors file")
      ->type_name("FILE");
  command->add_option("--repeat", options->repeat, "How often to run")
      ->type_name("N")
      ->transform(whole_number(1, 1000000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object; times are in seconds");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
