#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>

#include "base/stopwatch.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/measured_capacity.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/result_file.h"
#include "prepack/device.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

struct Options {
  ModelOptions model;
  PromptOptions prompts;
  BatchOptions batch;
  SamplingOptions sampling;
  std::string output;
  bool resume = false;
  bool overwrite = false;
  bool quiet = false;
  bool no_refill = false;
};

/// Where results go: a file, JSON lines on standard output, or text for a reader at a terminal.
class ResultSink {
 public:
  ResultSink(const Options& options, const Job& job)
      : job_(job), readable_(options.output.empty() && standard_output_is_terminal()) {
    if (!options.output.empty()) file_.emplace(options.output);
    // One prompt is shown as it is generated; several would be mixed up.
    streams_ = readable_ && job.prompts.size() == 1;
  }

  /// Nothing an earlier run wrote is lost before this.
  void begin(const FinishedResults& finished) {
    next_ = finished.num_prompts;
    if (file_) file_->keep(finished.num_bytes);
  }

  TextObserver text_observer() const {
    if (!streams_) return {};
    return [](int64_t, std::string_view text) {
      write_standard_output(printable_at_terminal(text));
      flush_standard_output();
    };
  }

  /// Writes this result, and those that waited for it: results keep the order of the prompts.
  void write(size_t index, const GenerationResult& result) {
    const auto& prompt = job_.prompts[index];
    waiting_[index] = readable_ ? readable_result(prompt, result) : result_line(prompt, result);
    if (index != next_) return;
    std::string text;
    for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_; ++next_) {
      text += first->second;
      first = waiting_.erase(first);
    }
    if (file_) {
      const bool flushes = since_flush_.seconds() >= 1;
      file_->append(text, flushes);
      if (flushes) since_flush_ = {};
    } else {
      write_standard_output(text);
      flush_standard_output();
    }
  }

  void end() {
    if (file_) file_->flush();
  }

 private:
  std::string readable_result(const PreparedPrompt& prompt, const GenerationResult& result) const {
    if (streams_) return "\n";
    return fmt::format("\033[2m[{}] {}\033[0m\n{}\n\n", printable_at_terminal(prompt.id),
                       printable_at_terminal(prompt.text), printable_at_terminal(result.text));
  }

  const Job& job_;
  bool readable_;
  bool streams_ = false;
  std::optional<RecordFile> file_;
  Stopwatch since_flush_;
  std::map<size_t, std::string> waiting_;  // for the results of prompts before theirs
  size_t next_ = 0;                        // the first prompt that is not written
};

std::string summary(const RunStats& stats, const Job& job) {
  const auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  auto text = fmt::format(
      "{} prompts, {} tokens: prefill {:.2f} s ({:.0f} tokens/s, {} computed); {} tokens generated "
      "in {:.2f} s ({:.0f} tokens/s); peak memory {}",
      stats.num_prompts, stats.prompt_tokens, stats.prefill_s,
      rate(stats.prompt_tokens, stats.prefill_s), stats.computed_tokens, stats.generated_tokens,
      stats.decode_s, rate(stats.generated_tokens, stats.decode_s),
      format_bytes(peak_resident_memory()));
  if (stats.num_splits > 0) {
    text += fmt::format("; batches halved because memory ran out: {}", stats.num_splits);
  }
  if (!stats.graph_failure.empty()) {
    text += fmt::format("; forwards were not recorded, which makes small models slower: {}",
                        stats.graph_failure);
  }
  if (job.device.is_cuda()) {
    text += fmt::format(", on the device {}", format_bytes(peak_device_memory(job.device)));
  }
  return text;
}

/// What is computed in one go: prompts that are to share their beginnings, or many batches, so that
/// few of their steps are for the last ones. No more, because results wait for those before them.
std::vector<Batch> make_parts(const Job& job, size_t first_prompt) {
  auto batches = make_batches(job, first_prompt);
  if (!job.refills) return batches;
  constexpr size_t kBatchesOfPart = 32;
  std::vector<Batch> parts;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (i % kBatchesOfPart == 0) parts.emplace_back();
    std::ranges::copy(batches[i], std::back_inserter(parts.back()));
  }
  return parts;
}

/// Refuses to lose what a file holds: results of an earlier run, or the prompts themselves.
void require_output_file(const Options& options) {
  namespace fs = std::filesystem;
  if (options.output.empty()) {
    if (options.resume) throw UsageError("--resume needs --output FILE, the file to continue");
    return;
  }
  require_no_prompt_file("--output", options.output, options.prompts);
  if (options.resume || options.overwrite || !fs::is_regular_file(options.output) ||
      fs::file_size(options.output) == 0) {
    return;
  }
  throw UsageError(fmt::format(
      "--output {}: holds something already: --resume continues it, --overwrite replaces it",
      options.output));
}

void run(const Options& options) {
  require_output_file(options);
  auto job = prepare_job(options.model, options.prompts, options.batch, options.sampling);
  const auto finished =
      options.resume ? read_finished_results(options.output, job.prompts) : FinishedResults{};
  require_memory(job);
  ResultSink sink(options, job);
  if (options.resume && finished.num_prompts == job.prompts.size()) {
    sink.begin(finished);
    return;
  }
  const auto model = load_model(job);
  choose_capacity(job, model);
  sink.begin(finished);

  RunStats stats;
  ProgressBar progress("prompts", static_cast<int64_t>(job.prompts.size()));
  auto num_done = static_cast<int64_t>(finished.num_prompts);
  progress.show(num_done);
  for (const auto& part : make_parts(job, finished.num_prompts)) {
    const auto write_result = [&](int64_t i, const GenerationResult& result) {
      progress.clear();
      sink.write(part[i], result);
      progress.show(++num_done);
    };
    generate(model, *job.tokenizer, batch_requests(job, part),
             {.prefill = job.prefill, .batch_size = job.batch_size, .refills = !options.no_refill},
             {.on_text = sink.text_observer(), .on_result = write_result}, &stats);
  }
  progress.clear();
  sink.end();
  if (!options.quiet) std::cerr << summary(stats, job) << "\n";
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto* command = app.add_subcommand("generate", "Generate text for each prompt");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->prompts.add_to(*command);
  options->batch.add_to(*command);
  options->batch.add_share_prefixes_to(*command);
  options->sampling.add_to(*command);
  command
      ->add_option(
          "-o,--output", options->output,
          "Write results to this file, one JSON object per prompt, as soon as those before it are "
          "there [default: standard output]")
      ->type_name("FILE.jsonl");
  command->add_flag("--resume", options->resume,
                    "Keep the results that --output holds already, and do the rest");
  command->add_flag("--overwrite", options->overwrite, "Replace what --output holds already");
  command->add_flag("--no-refill", options->no_refill,
                    "Begin a batch when the one before is finished, in place of letting prompts "
                    "join as others leave");
  command->add_flag("-q,--quiet", options->quiet, "No summary on standard error");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
