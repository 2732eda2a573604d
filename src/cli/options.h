#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "prepack/error.h"
#include "prepack/sampler.h"

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace prepack::cli {

/// An option with a value that cannot be; the program ends with exit code 2.
class UsageError : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// Runs `parse`, and names the option where it throws.
template <typename Parse>
auto parse_option(const char* option, const Parse& parse) {
  try {
    return parse();
  } catch (const InvalidArgument& error) {
    throw UsageError(std::string(option) + ": " + error.what());
  }
}

/// Each value once, in the order given.
template <typename Value>
std::vector<Value> each_once(const std::vector<Value>& values) {
  std::vector<Value> different;
  for (const auto& value : values) {
    if (std::ranges::find(different, value) == different.end()) different.push_back(value);
  }
  return different;
}

/// Parses the texts of an option that takes several; each value once.
template <typename Parse>
auto parse_list(const char* option, const std::vector<std::string>& texts, const Parse& parse) {
  std::vector<decltype(parse(texts.front()))> values;
  for (const auto& text : texts) {
    values.push_back(parse_option(option, [&] { return parse(text); }));
  }
  return each_once(values);
}

/// Whether two paths name one file, which need not exist yet.
bool same_file(const std::string& one, const std::string& other);

/// Whole numbers from `first` to `last`, in decimal. To be given to `transform`, since CLI11 would
/// read 010 as 8, and takes what is too large, or empty, for another number.
CLI::Validator whole_number(int64_t first, int64_t last);
CLI::Validator any_seed();       // from 0 to 2^64 - 1
CLI::Validator finite_number();  // of a float

// What the commands share. Each struct is one group of options; `add_to` declares them, with their
// defaults and units, in one place.

struct ModelOptions {
  std::string folder;  // empty: the default model
  std::string dtype = "auto";
  std::string device = "auto";
  std::string quantize;  // empty: not
  int64_t quantize_group = 32;
  std::string quantize_activations;  // empty: not
  std::string weight_layout = "auto";
  int threads = 0;
  std::string memory_limit = "auto";

  void add_to(CLI::App& command);
};

struct PromptOptions {
  std::vector<std::string> prompts;
  std::vector<std::string> files;
  bool chat = false;
  bool no_thinking = false;
  bool no_special_tokens = false;
  bool skip_bad_lines = false;

  void add_to(CLI::App& command);
};

/// Refuses to write to a file of prompts.
/// @throws UsageError naming the option
void require_no_prompt_file(const char* option, const std::string& file,
                            const PromptOptions& prompts);

struct BatchOptions {
  bool no_graphs = false;
  std::string method = "packed";
  std::string packing = "best-fit-decreasing";
  std::string capacity = "default";
  int64_t max_segments = 0;  // 0: any number
  bool balance = false;
  std::string final_token = "prefill";
  bool shares_prefixes = false;
  int64_t batch_size = 32;
  int64_t token_budget = 0;  // 0: chosen from the machine

  void add_to(CLI::App& command);

  // Parts of it, for commands that run several methods.
  void add_packing_to(CLI::App& command);
  void add_batch_size_to(CLI::App& command);
  void add_final_token_to(CLI::App& command);
  void add_share_prefixes_to(CLI::App& command);
};

struct SamplingOptions {
  int64_t max_new_tokens = 128;
  SamplingParams sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;

  void add_to(CLI::App& command);
};

}  // namespace prepack::cli
