#include "cli/data_sets.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <utility>

#include "bench/compared_method.h"
#include "bench/random_prompts.h"
#include "prepack/error.h"
#include "prepack/sampler.h"

namespace prepack::cli {
namespace {

constexpr const char* kGroup = "Data sets";

/// The numbers of "50:400".
std::optional<std::pair<int64_t, int64_t>> parse_range(const std::string& text) {
  const char* const end = text.data() + text.size();
  int64_t first = 0;
  int64_t last = 0;
  const auto one = std::from_chars(text.data(), end, first);
  if (one.ec != std::errc() || one.ptr == end || *one.ptr != ':') return std::nullopt;
  const auto two = std::from_chars(one.ptr + 1, end, last);
  if (two.ec != std::errc() || two.ptr != end || first < 1 || last < first) return std::nullopt;
  return std::pair(first, last);
}

/// Prompts of random tokens, their lengths drawn evenly from a range.
bench::DataSet random_data_set(const DataSetOptions& options, const ModelConfig& config,
                               uint64_t seed) {
  const auto range = parse_range(options.random_lengths);
  if (!range || range->second > config.max_position_embeddings) {
    throw UsageError(fmt::format(
        "--random-lengths: expected SHORTEST:LONGEST from 1 to {}, the model's positions, got {}",
        config.max_position_embeddings, options.random_lengths));
  }
  const auto [shortest, longest] = *range;
  RandomStream random(seed, /*stream=*/1);
  bench::DataSet data_set{.name = fmt::format("random-{}-{}", shortest, longest), .prompts = {}};
  for (int64_t i = 0; i < options.num_prompts; ++i) {
    const int64_t length = shortest + bench::draw_below(random, longest - shortest + 1);
    data_set.prompts.push_back(bench::random_prompt(random, length, config.vocab_size));
  }
  return data_set;
}

bench::DataSet prompt_data_set(std::string name, const PromptOptions& prompts, const Job& job) {
  bench::DataSet data_set{.name = std::move(name), .prompts = {}};
  const auto check = [&](PreparedPrompt& prompt) {
    if (const auto defect = find_prompt_defect(job.config, prompt.request.prompt_ids)) {
      throw InvalidArgument("the prompt " + *defect);
    }
  };
  for (auto& prompt :
       prepare_prompts(prompts, job.model_folder, *job.tokenizer, job.threads, check)) {
    data_set.prompts.push_back(std::move(prompt.request.prompt_ids));
  }
  return data_set;
}

/// A random part of a data set, in its order.
void keep_some(bench::DataSet& data_set, int64_t count, uint64_t seed) {
  const auto total = static_cast<int64_t>(data_set.prompts.size());
  if (count <= 0 || count >= total) return;
  auto chosen = bench::random_order(total, seed);
  chosen.resize(count);
  std::ranges::sort(chosen);
  std::vector<TokenIds> kept;
  for (int64_t prompt : chosen) kept.push_back(std::move(data_set.prompts[prompt]));
  data_set.prompts = std::move(kept);
}

void require_different_names(const std::vector<bench::DataSet>& data_sets) {
  for (size_t i = 0; i < data_sets.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (data_sets[i].name == data_sets[j].name) {
        throw UsageError(fmt::format("--prompts: two data sets are called {}", data_sets[i].name));
      }
    }
  }
}

}  // namespace

void DataSetOptions::add_to(CLI::App& command) {
  prompts.add_to(command);
  command.add_option("--max-prompts", max_prompts, "Prompts of each data set, drawn at random")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 40))
      ->group(kGroup);
  command
      .add_option("--random-lengths", random_lengths,
                  "A data set of random tokens, its lengths drawn evenly from A to B")
      ->type_name("A:B")
      ->group(kGroup);
  command.add_option("--num-prompts", num_prompts, "Prompts of the random data set")
      ->type_name("N")
      ->transform(whole_number(1, int64_t{1} << 30))
      ->capture_default_str()
      ->group(kGroup);
}

std::vector<bench::DataSet> read_data_sets(const DataSetOptions& options, const Job& job,
                                           uint64_t seed) {
  std::vector<bench::DataSet> data_sets;
  auto source = options.prompts;
  source.files.clear();
  if (!source.prompts.empty()) data_sets.push_back(prompt_data_set("prompts", source, job));
  source.prompts.clear();
  for (const auto& file : options.prompts.files) {
    source.files = {file};
    const auto name = file == "-" ? "stdin" : std::filesystem::path(file).stem().string();
    data_sets.push_back(prompt_data_set(name, source, job));
  }
  for (auto& data_set : data_sets) keep_some(data_set, options.max_prompts, seed);
  if (!options.random_lengths.empty()) {
    data_sets.push_back(random_data_set(options, job.config, seed));
  }
  if (data_sets.empty()) {
    throw UsageError("no data set: give --prompts, --prompt or --random-lengths");
  }
  require_different_names(data_sets);
  return data_sets;
}

}  // namespace prepack::cli
