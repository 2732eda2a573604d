#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <limits>

namespace prepack::cli {
namespace {

/// An option that may be given several times, each time with one text, which is taken as it is.
/// (CLI11's own vectors would split a text in square brackets at its commas.)
CLI::Option* add_texts(CLI::App& command, const char* name, std::vector<std::string>& texts,
                       const char* description) {
  return command
      .add_option_function<std::string>(
          name, [&texts](const std::string& text) { texts.push_back(text); }, description)
      ->trigger_on_parse();
}

/// @param range  what is expected, in words
template <typename Number>
CLI::Validator decimal_number(Number first, Number last, const std::string& range) {
  const auto normalize = [=](std::string& text) -> std::string {
    Number number{};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    const bool is_in_range = number >= first && number <= last;
    if (error != std::errc() || rest != end || !is_in_range) {
      return fmt::format("expected {}, got \"{}\"", range, text);
    }
    text = fmt::format("{}", number);
    return "";
  };
  return {normalize, ""};
}

constexpr const char* kModelGroup = "Model";
constexpr const char* kPromptGroup = "Prompts";
constexpr const char* kBatchGroup = "Batching";
constexpr const char* kSamplingGroup = "Sampling";

}  // namespace

bool same_file(const std::string& one, const std::string& other) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const auto canonical = [&](const std::string& path) {
    return fs::weakly_canonical(fs::absolute(path, ignored), ignored);
  };
  return one == other || fs::equivalent(one, other, ignored) ||
         (!canonical(one).empty() && canonical(one) == canonical(other));
}

CLI::Validator whole_number(int64_t first, int64_t last) {
  return decimal_number(first, last, fmt::format("a whole number from {} to {}", first, last));
}

CLI::Validator any_seed() {
  return decimal_number<uint64_t>(0, std::numeric_limits<uint64_t>::max(),
                                  "a whole number from 0 to 2^64 - 1");
}

CLI::Validator finite_number() {
  return decimal_number(std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max(),
                        "a number");
}

void require_no_prompt_file(const char* option, const std::string& file,
                            const PromptOptions& prompts) {
  for (const auto& other : prompts.files) {
    if (file.empty() || !same_file(file, other)) continue;
    throw UsageError(fmt::format("{} {}: is a file of --prompts", option, file));
  }
}

void ModelOptions::add_to(CLI::App& command) {
  command
      .add_option("-m,--model", folder,
                  "Hugging Face folder, or GGUF file [default: $PREPACK_MODEL, else the "
                  "model that scripts/quickstart.sh fetched]")
      ->type_name("MODEL")
      ->group(kModelGroup);
  command
      .add_option("--dtype", dtype,
                  "Compute type: float32, bfloat16, float16, or auto: the stored type, but "
                  "float32 on CPUs that only emulate it")
      ->type_name("TYPE")
      ->capture_default_str()
      ->group(kModelGroup);
  command
      .add_option("--device", device,
                  "cpu, cuda, cuda:N, or auto: the first GPU where there is one, else the CPU")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kModelGroup);
  auto* quantizes =
      command
          .add_option("--quantize", quantize,
                      "Round the weights of the layers' products as they are loaded: int8, with a "
                      "scale per row, or int4, with a scale per group [default: as they are "
                      "stored]")
          ->type_name("TYPE")
          ->group(kModelGroup);
  command
      .add_option("--quantize-group", quantize_group,
                  "Weights that share a scale of int4: 32, 64 or 128")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->needs(quantizes)
      ->group(kModelGroup);
  command
      .add_option(
          "--quantize-activations", quantize_activations,
          "Round what products with quantized weights read too, which makes them faster: "
          "int16, with a scale for 64 features, off by a hundredth of what 8 bits cost the "
          "weights; or int8, with a scale for 32, with AMX for 128, but int16 for weights with a "
          "scale for 16. On a GPU int8 alone, with a scale for each token, for weights of int8 "
          "and more than 16 tokens")
      ->type_name("TYPE")
      ->group(kModelGroup);
  command
      .add_option(
          "--weight-layout", weight_layout,
          "On the CPU, how the weights of products lie in memory: plain; blocked, as oneDNN "
          "has them, for those of the compute type; or auto: blocked where this machine "
          "computes faster so, measured")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kModelGroup);
  command
      .add_option("--threads", threads,
                  "CPU threads [default: one per core, or as many as the container may use]")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->group(kModelGroup);
  command
      .add_option("--memory-limit", memory_limit,
                  "Memory the job may take, e.g. 4GB, or auto: what the machine has available")
      ->type_name("SIZE")
      ->capture_default_str()
      ->group(kModelGroup);
}

void PromptOptions::add_to(CLI::App& command) {
  add_texts(command, "-p,--prompt", prompts, "A prompt; may be given several times")
      ->type_name("TEXT")
      ->group(kPromptGroup);
  add_texts(command, "-f,--prompts", files,
            "File of prompts: .jsonl with {\"prompt\": ...}, {\"prompt_ids\": [...]} or "
            "{\"messages\": [...]} per line, .txt with one prompt per line, or - for "
            "standard input; may be given several times")
      ->type_name("FILE")
      ->group(kPromptGroup);
  command.add_flag("--chat", chat, "Put each prompt into the model's chat template")
      ->group(kPromptGroup);
  command
      .add_flag("--no-thinking", no_thinking,
                "Ask for answers without hidden reasoning, where the chat template has that choice")
      ->group(kPromptGroup);
  command
      .add_flag("--no-special-tokens", no_special_tokens,
                "Leave out the BOS and EOS that the model's own files say to add")
      ->group(kPromptGroup);
  command
      .add_flag("--skip-bad-lines", skip_bad_lines, "Report bad lines on standard error and go on")
      ->group(kPromptGroup);
}

void BatchOptions::add_to(CLI::App& command) {
  command
      .add_option("--method", method,
                  "packed: prompts one after the other, no padding; packed-rows: rows as long "
                  "as the longest prompt, under a dense mask; padded: one prompt per row")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kBatchGroup);
  add_final_token_to(command);
  add_batch_size_to(command);
  add_packing_to(command);
  command
      .add_flag("--no-graphs", no_graphs,
                "On a GPU, give it each forward anew instead of replaying recorded ones")
      ->group(kBatchGroup);
}

void BatchOptions::add_final_token_to(CLI::App& command) {
  command
      .add_option("--final-token", final_token,
                  "Where each prompt's final token is computed: prefill; or first-step: by the "
                  "first decode step, as in the paper")
      ->type_name("PLACE")
      ->capture_default_str()
      ->group(kBatchGroup);
}

void BatchOptions::add_share_prefixes_to(CLI::App& command) {
  command
      .add_flag(
          "--share-prefixes", shares_prefixes,
          "With packed: put prompts that begin alike into one batch, and compute beginnings of 32 "
          "tokens and more that they have in common, such as few-shot headers, only once")
      ->group(kBatchGroup);
}

void BatchOptions::add_batch_size_to(CLI::App& command) {
  command.add_option("--batch-size", batch_size, "Prompts that are decoded together")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 20))
      ->capture_default_str()
      ->group(kBatchGroup);
}

void BatchOptions::add_packing_to(CLI::App& command) {
  command
      .add_option("--packing", packing,
                  "best-fit-decreasing, first-fit-decreasing, optimal (proved, by a solver if need "
                  "be), or the paper's greedy and integer-programming")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kBatchGroup);
  command
      .add_option("--capacity", capacity,
                  "Tokens of a bin: a number; auto: that with which this machine computes fastest, "
                  "measured; or default: for packed the token budget, for packed-rows the longest "
                  "prompt")
      ->type_name("N")
      ->capture_default_str()
      ->group(kBatchGroup);
  command
      .add_option("--max-segments", max_segments,
                  "Prompts of one bin at most [default: any number]")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->group(kBatchGroup);
  command
      .add_flag("--balance", balance,
                "Level the bins' cost, which grows with the square of a prompt's length, too")
      ->group(kBatchGroup);
  command
      .add_option("--token-budget", token_budget,
                  "Most tokens of one prefill forward, padding included [default: from free "
                  "memory, at most 2048, at least the longest prompt]")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->group(kBatchGroup);
}

void SamplingOptions::add_to(CLI::App& command) {
  command.add_option("-n,--max-new-tokens", max_new_tokens, "Most tokens to generate per prompt")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->capture_default_str()
      ->group(kSamplingGroup);
  command
      .add_option("--temperature", sampling.temperature,
                  "0: the most likely token; higher: more varied")
      ->type_name("T")
      ->transform(finite_number())
      ->capture_default_str()
      ->group(kSamplingGroup);
  command.add_option("--top-k", sampling.top_k, "Draw from the K most likely tokens; 0: all")
      ->type_name("K")
      ->transform(whole_number(0, std::numeric_limits<int64_t>::max()))
      ->capture_default_str()
      ->group(kSamplingGroup);
  command
      .add_option("--top-p", sampling.top_p,
                  "Draw from the fewest tokens that hold probability P, more than 0, at most 1")
      ->type_name("P")
      ->transform(finite_number())
      ->capture_default_str()
      ->group(kSamplingGroup);
  command
      .add_option("--min-p", sampling.min_p,
                  "Draw from tokens at least P times as likely as the likeliest; 0 to 1")
      ->type_name("P")
      ->transform(finite_number())
      ->capture_default_str()
      ->group(kSamplingGroup);
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1: tokens seen before become less likely")
      ->type_name("X")
      ->transform(finite_number())
      ->capture_default_str()
      ->group(kSamplingGroup);
  command
      .add_option("--seed", sampling.seed, "Of the random numbers; each prompt has its own stream")
      ->type_name("N")
      ->transform(any_seed())
      ->capture_default_str()
      ->group(kSamplingGroup);
  add_texts(command, "--stop", stop, "Stop before this text; may be given several times")
      ->type_name("TEXT")
      ->group(kSamplingGroup);
  command.add_flag("--ignore-eos", ignore_eos, "Go on after the model's end-of-sequence tokens")
      ->group(kSamplingGroup);
}

}  // namespace prepack::cli
