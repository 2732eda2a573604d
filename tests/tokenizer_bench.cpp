// prepack_tokenizer_bench TOKENIZER_DIR FILE.jsonl... [--ids] [--decode] [--threads=N] [--repeat=N]
//
// Encodes the "prompt" of each line. Prints the time to load and the tokens per second, the median
// of the repetitions; or with --ids the ids, one JSON array a line; with --decode those ids' text,
// one JSON string a line. --no-special leaves BOS and EOS away.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "prepack/tokenizer.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Options {
  std::vector<std::string> paths;  // the tokenizer's folder, then the files
  bool ids = false;
  bool decode = false;
  bool special = true;
  int threads = 1;
  int repeat = 5;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto number = [&] { return std::max(1, std::atoi(arg.c_str() + arg.find('=') + 1)); };
    if (arg == "--ids") {
      options.ids = true;
    } else if (arg == "--decode") {
      options.decode = true;
    } else if (arg == "--no-special") {
      options.special = false;
    } else if (arg.starts_with("--threads=")) {
      options.threads = number();
    } else if (arg.starts_with("--repeat=")) {
      options.repeat = number();
    } else {
      options.paths.push_back(arg);
    }
  }
  return options;
}

std::vector<std::string> read_prompts(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw prepack::LoadError(path + ": cannot be read");
  std::vector<std::string> prompts;
  for (std::string line; std::getline(in, line);) {
    prompts.push_back(nlohmann::json::parse(line).at("prompt").get<std::string>());
  }
  return prompts;
}

void run(const Options& options) {
  const auto load_start = Clock::now();
  const auto tokenizer = prepack::load_tokenizer(options.paths[0]);
  const double load_seconds = seconds_since(load_start);

  std::vector<std::string> prompts;
  for (size_t i = 1; i < options.paths.size(); ++i) {
    for (auto& prompt : read_prompts(options.paths[i])) prompts.push_back(std::move(prompt));
  }

  std::vector<double> rates;
  size_t num_tokens = 0, num_bytes = 0;
  for (int i = 0; i < (options.ids || options.decode ? 1 : options.repeat); ++i) {
    const auto start = Clock::now();
    const auto batch = prepack::encode_batch(*tokenizer, prompts, options.special, options.threads);
    const double seconds = seconds_since(start);
    num_tokens = num_bytes = 0;
    for (const auto& ids : batch) num_tokens += ids.size();
    for (const auto& prompt : prompts) num_bytes += prompt.size();
    rates.push_back(static_cast<double>(num_tokens) / seconds);
    for (const auto& ids : batch) {
      if (options.ids) fmt::print("[{}]\n", fmt::join(ids, ","));
      if (options.decode) fmt::print("{}\n", nlohmann::json(tokenizer->decode(ids)).dump());
    }
  }
  if (options.ids || options.decode) return;
  std::sort(rates.begin(), rates.end());
  fmt::print(
      "{}: load {:.1f} ms; {} prompts, {} bytes, {} tokens; {} threads: {:.2f} M tokens/s "
      "(lowest {:.2f}, highest {:.2f})\n",
      options.paths[0], load_seconds * 1e3, prompts.size(), num_bytes, num_tokens, options.threads,
      rates[rates.size() / 2] / 1e6, rates.front() / 1e6, rates.back() / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.paths.size() < 2) {
    fmt::print(stderr,
               "usage: prepack_tokenizer_bench TOKENIZER_DIR FILE.jsonl... [--ids] [--decode] "
               "[--no-special] [--threads=N] [--repeat=N]\n");
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
