#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/stopwatch.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/json_line.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/score.h"

namespace prepack::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  ModelOptions model;
  PromptOptions prompts;
  BatchOptions batch;
  std::string text;
  std::string continuations;
  int64_t context = 0;  // 0: chosen from the model
  int64_t stride = 0;   // 0: the context
  bool json = false;
};

/// What is scored, and for continuations how to name each.
struct Work {
  std::vector<ScoreRequest> requests;
  std::vector<std::string> ids;  // JSON text, of continuations
};

/// Longer windows take memory and time without a lower perplexity to show for it on most texts.
constexpr int64_t kDefaultContext = 2048;

void require_end(const std::istream& input, const std::string& name) {
  if (input.bad()) throw InvalidArgument(fmt::format("{}: cannot be read to its end", name));
}

std::string read_whole(std::istream& input, const std::string& name) {
  std::string text;
  std::vector<char> block(size_t{1} << 16);
  while (input.read(block.data(), std::ssize(block)) || input.gcount() > 0) {
    text.append(block.data(), static_cast<size_t>(input.gcount()));
  }
  require_end(input, name);
  return text;
}

std::ifstream open_file(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    throw InvalidArgument(fmt::format("{}: is a folder, not a file", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InvalidArgument(fmt::format("{}: {}", path, std::strerror(errno)));
  return file;
}

int64_t context_of(const Options& options, const Job& job) {
  const int64_t longest = job.config.max_position_embeddings;
  if (options.context == 0) return std::min(kDefaultContext, longest);
  if (options.context > longest) {
    throw UsageError(fmt::format("--context: the model takes at most {}", longest));
  }
  return options.context;
}

Work read_text(const Options& options, const Job& job) {
  auto file = open_file(options.text);
  const auto text = read_whole(file, options.text);
  const int64_t context = context_of(options, job);
  const int64_t stride = options.stride == 0 ? context : options.stride;
  if (stride > context) {
    throw UsageError(
        fmt::format("--stride: expected at most the context, {}, got {}", context, stride));
  }
  try {
    return {score_windows(job.tokenizer->encode(text, !options.prompts.no_special_tokens), context,
                          stride),
            {}};
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("{}: {}", options.text, error.what()));
  }
}

Work read_prompts(const Options& options, const Job& job) {
  Work work;
  const auto prompts = prepare_prompts(
      options.prompts, job.model_folder, *job.tokenizer, job.threads, [&](PreparedPrompt& prompt) {
        const auto defect = find_score_defect(job.config, {prompt.request.prompt_ids});
        if (defect) throw InvalidArgument("the prompt " + *defect);
      });
  for (const auto& prompt : prompts) work.requests.push_back({prompt.request.prompt_ids});
  return work;
}

std::string string_field(const Json& line, const char* field) {
  const auto found = line.find(field);
  if (found == line.end() || !found->is_string()) {
    throw InvalidArgument(fmt::format("\"{}\": expected a string", field));
  }
  return found->get<std::string>();
}

/// Adds one line: {"prompt": ..., "continuation": ...}, and optionally "id".
void add_continuation(std::string_view text, const Options& options, const Job& job, Work& work) {
  const auto line = parse_json_line(text);
  if (!line.is_object()) throw InvalidArgument("expected a JSON object");
  const auto request =
      continuation_request(*job.tokenizer, job.config, string_field(line, "prompt"),
                           string_field(line, "continuation"), !options.prompts.no_special_tokens);
  if (const auto defect = find_score_defect(job.config, request)) {
    throw InvalidArgument("the prompt with its continuation " + *defect);
  }
  const auto id = line.find("id");
  work.ids.push_back(id != line.end() ? read_id(*id) : std::to_string(work.requests.size()));
  work.requests.push_back(request);
}

Work read_continuations(const Options& options, const Job& job) {
  Work work;
  auto file = open_file(options.continuations);
  int64_t line_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      add_continuation(line, options, job, work);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(
          fmt::format("{}, line {}: {}", options.continuations, line_number, error.what()));
    }
  }
  require_end(file, options.continuations);
  if (work.requests.empty()) {
    throw InvalidArgument(fmt::format("{}: there is not a single line", options.continuations));
  }
  return work;
}

Work read_work(const Options& options, const Job& job) {
  const bool has_prompts = !options.prompts.prompts.empty() || !options.prompts.files.empty();
  const int num_sources = static_cast<int>(!options.text.empty()) +
                          static_cast<int>(!options.continuations.empty()) +
                          static_cast<int>(has_prompts);
  if (num_sources != 1) {
    throw UsageError("expected one of --text, --continuations and prompts");
  }
  if (!has_prompts && (options.prompts.chat || options.prompts.skip_bad_lines)) {
    throw UsageError("--chat and --skip-bad-lines: are for prompts only");
  }
  if (options.json && !options.continuations.empty()) {
    throw UsageError("--json: continuations are printed as JSON lines anyway");
  }
  if (!options.text.empty()) return read_text(options, job);
  if (options.context != 0 || options.stride != 0) {
    throw UsageError("--context and --stride: only a --text is cut into windows");
  }
  return has_prompts ? read_prompts(options, job) : read_continuations(options, job);
}

/// Chooses the token budget, and predicts the peak of memory.
void plan_memory(Job& job, const Work& work) {
  std::vector<int64_t> lengths;
  int64_t longest = 1;
  for (const auto& request : work.requests) {
    const auto length = std::ssize(request.tokens) - 1;
    if (length > 0) lengths.push_back(length);
    longest = std::max<int64_t>(longest, length);
  }
  if (job.prefill.token_budget == 0) {
    const int64_t free =
        job.memory_limit - estimate_memory(job.config, job.dtype, job.device, {},
                                           {job.quantization, job.activations}, job.known_bytes)
                               .total();
    job.prefill.token_budget =
        default_token_budget(job.config, job.dtype, job.device, job.prefill.method,
                             std::max(longest, job.prefill.capacity), free);
  } else if (longest > job.prefill.token_budget) {
    throw UsageError(fmt::format("--token-budget: the longest sequence has {} tokens", longest));
  }
  job.memory = estimate_memory(job.config, job.dtype, job.device,
                               score_shape(job.config, lengths, job.prefill),
                               {job.quantization, job.activations}, job.known_bytes);
  require_memory(job);
}

void print_continuations(const Work& work, std::span<const Score> scores) {
  std::string lines;
  for (size_t i = 0; i < scores.size(); ++i) {
    const Json line{{"id", Json::parse(work.ids[i])},
                    {"log_likelihood", scores[i].log_likelihood},
                    {"num_tokens", scores[i].num_tokens},
                    {"is_greedy", scores[i].is_greedy}};
    lines += line.dump() + "\n";
  }
  write_standard_output(lines);
}

void print_perplexity(const Options& options, const Job& job, std::span<const Score> scores,
                      double score_s) {
  double log_likelihood = 0;
  int64_t num_tokens = 0;
  for (const auto& score : scores) {
    log_likelihood += score.log_likelihood;
    num_tokens += score.num_tokens;
  }
  if (num_tokens == 0) {
    throw InvalidArgument("no prompt has two tokens: nothing comes before the first");
  }
  if (options.json) {
    const Json json{{"perplexity", perplexity(scores)},
                    {"log_likelihood", log_likelihood},
                    {"num_tokens", num_tokens},
                    {"num_sequences", scores.size()},
                    {"score_s", score_s},
                    {"peak_rss_bytes", peak_resident_memory()},
                    {"predicted_peak_bytes", job.memory.total()},
                    {"weights", job.quantization ? to_string(*job.quantization) : "as stored"},
                    {"activations", to_string(job.activations)},
                    {"dtype", to_string(job.dtype)},
                    {"device", job.device.str()},
                    {"threads", job.threads}};
    write_standard_output(json.dump() + "\n");
    return;
  }
  write_standard_output(fmt::format(
      "perplexity        {:.4f}\n"
      "scored            {} tokens of {} sequences in {:.2f} s\n"
      "computed          on {}, {}{}, {} threads\n"
      "peak memory       {} ({} predicted)\n",
      perplexity(scores), num_tokens, scores.size(), score_s, job.device.str(),
      to_string(job.dtype), rounding_note(job.quantization, job.activations), job.threads,
      format_bytes(peak_resident_memory()), format_bytes(job.memory.total())));
}

void run(const Options& options) {
  auto job = prepare_model_job(options.model, options.batch);
  if (job.measures_capacity) {
    throw UsageError("--capacity auto: measure it with prefill, and give score the number");
  }
  const auto work = read_work(options, job);
  plan_memory(job, work);
  const auto model = load_model(job);
  const Stopwatch stopwatch;
  ProgressBar progress("sequences", std::ssize(work.requests));
  progress.show(0);
  const auto scores =
      score(model, work.requests, job.prefill, [&](int64_t num_done) { progress.show(num_done); });
  progress.clear();
  if (work.ids.empty()) {
    print_perplexity(options, job, scores, stopwatch.seconds());
  } else {
    print_continuations(work, scores);
  }
}

}  // namespace

void add_score_command(CLI::App& app) {
  auto* command = app.add_subcommand(
      "score", "Perplexity of a text or of prompts, or log-likelihoods of continuations");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  options->prompts.add_to(*command);
  options->batch.add_packing_to(*command);
  command
      ->add_option("--text", options->text,
                   "Perplexity of this file, in windows; of prompts each is a sequence of its own")
      ->type_name("FILE");
  command
      ->add_option("--context", options->context,
                   "Most tokens of a window [default: 2048, or the model's longest sequence]")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 24));
  command
      ->add_option("--stride", options->stride,
                   "Tokens that each window but the first scores, given those of the context "
                   "before them [default: the context: windows do not overlap]")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 24));
  command
      ->add_option("--continuations", options->continuations,
                   "JSON lines {\"prompt\": ..., \"continuation\": ...}: prints each "
                   "continuation's log-likelihood, tokens, and whether it is the greedy one")
      ->type_name("FILE.jsonl");
  command->add_flag("--json", options->json, "Print perplexity as one JSON object");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
