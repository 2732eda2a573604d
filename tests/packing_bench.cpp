// prepack_packing_bench TOKENIZER_DIR FILE.jsonl... [--optimal=SECONDS]
//
// Packs the prompts of each file, at their longest and at some round capacities, and prints how
// many bins that takes and the microseconds of the default algorithm, the median of some
// repetitions. With --optimal, plans that miss the lower bound are solved again as `optimal`. Then
// the time for a hundred thousand sequences drawn from all files, and of uniform lengths.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "prepack/error.h"
#include "prepack/packing.h"
#include "prepack/tokenizer.h"
#include "support/random.h"

namespace {

using prepack::PackingAlgorithm;
using prepack::PackingOptions;
using Clock = std::chrono::steady_clock;
using Lengths = std::vector<int64_t>;

struct Options {
  std::vector<std::string> paths;  // the tokenizer's folder, then the files
  double optimal_s = 0;            // 0: optimal is not run
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.starts_with("--optimal=")) {
      options.optimal_s = std::atof(arg.c_str() + arg.find('=') + 1);
    } else {
      options.paths.push_back(arg);
    }
  }
  return options;
}

Lengths prompt_lengths(const prepack::Tokenizer& tokenizer, const std::string& path) {
  std::ifstream in(path);
  if (!in) throw prepack::LoadError(path + ": cannot be read");
  Lengths lengths;
  for (std::string line; std::getline(in, line);) {
    const auto prompt = nlohmann::json::parse(line).at("prompt").get<std::string>();
    lengths.push_back(static_cast<int64_t>(tokenizer.encode(prompt).size()));
  }
  return lengths;
}

int64_t num_bins(const Lengths& lengths, int64_t capacity, PackingAlgorithm algorithm) {
  return std::ssize(prepack::pack(lengths, capacity, {algorithm}).bins);
}

double microseconds(const Lengths& lengths, int64_t capacity, const PackingOptions& options) {
  std::vector<double> times;
  for (int i = 0; i < 21; ++i) {
    const auto start = Clock::now();
    const auto plan = prepack::pack(lengths, capacity, options);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

std::string optimal_bins(const Lengths& lengths, int64_t capacity, double time_limit_s) {
  const auto start = Clock::now();
  const auto plan = prepack::pack(
      lengths, capacity, {.algorithm = PackingAlgorithm::kOptimal, .time_limit_s = time_limit_s});
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return fmt::format("{} {} ({:.2f} s)", plan.bins.size(), to_string(plan.optimality), seconds);
}

void print_row(const std::string& name, const Lengths& lengths, int64_t capacity,
               double optimal_s) {
  const int64_t bins = num_bins(lengths, capacity, PackingAlgorithm::kBestFitDecreasing);
  const int64_t bound = prepack::lower_bound_bins(lengths, capacity);
  fmt::print("| {} | {} | {} | {} | {} | {} | {} | {} | {:.0f} |\n", name, capacity, bins,
             num_bins(lengths, capacity, PackingAlgorithm::kFirstFitDecreasing),
             num_bins(lengths, capacity, PackingAlgorithm::kGreedy), bound, bins - bound,
             bins > bound && optimal_s > 0 ? optimal_bins(lengths, capacity, optimal_s) : "",
             microseconds(lengths, capacity, {}));
}

void print_times(const char* name, const Lengths& lengths, int64_t capacity) {
  fmt::print("\n{} {}, capacity {}:", lengths.size(), name, capacity);
  for (auto algorithm : {PackingAlgorithm::kBestFitDecreasing,
                         PackingAlgorithm::kFirstFitDecreasing, PackingAlgorithm::kGreedy}) {
    fmt::print(" {} {:.2f} ms,", to_string(algorithm),
               microseconds(lengths, capacity, {algorithm}) / 1e3);
  }
  const PackingOptions balanced{.balance = prepack::SegmentCost{.linear = 1, .quadratic = 1e-3}};
  fmt::print(" balanced {:.2f} ms; {} bins, lower bound {}\n",
             microseconds(lengths, capacity, balanced) / 1e3,
             num_bins(lengths, capacity, PackingAlgorithm::kBestFitDecreasing),
             prepack::lower_bound_bins(lengths, capacity));
}

void run(const Options& options) {
  const auto tokenizer = prepack::load_tokenizer(options.paths[0]);
  fmt::print(
      "| prompts | capacity | default | first fit | greedy | lower bound | misses by | optimal | us "
      "|\n|---|---|---|---|---|---|---|---|---|\n");
  Lengths all;
  for (size_t i = 1; i < options.paths.size(); ++i) {
    const auto lengths = prompt_lengths(*tokenizer, options.paths[i]);
    const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    const auto name = std::filesystem::path(options.paths[i]).stem().string();
    print_row(name, lengths, longest, options.optimal_s);
    for (int64_t capacity : {1024, 2048, 4096}) {
      if (capacity > longest) print_row(name, lengths, capacity, options.optimal_s);
    }
    all.insert(all.end(), lengths.begin(), lengths.end());
  }
  prepack::testing::Random random(1);
  Lengths drawn(100'000);
  for (auto& length : drawn) length = all[random.integer(0, std::ssize(all) - 1)];
  const int64_t longest = *std::max_element(drawn.begin(), drawn.end());
  print_times("of these", drawn, longest);
  print_times("of these", drawn, std::max<int64_t>(longest, 4096));
  print_times("uniform lengths of 1 to 4096", random.integers(100'000, 1, 4096), 4096);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.paths.size() < 2) {
    fmt::print(stderr,
               "usage: prepack_packing_bench TOKENIZER_DIR FILE.jsonl... [--optimal=SECONDS]\n");
    return 2;
  }
  try {
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
