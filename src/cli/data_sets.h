#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/comparison.h"
#include "cli/job.h"
#include "cli/options.h"

namespace prepack::cli {

/// Where the prompts of a comparison come from.
struct DataSetOptions {
  PromptOptions prompts;       // each file is a data set; prompts of the command line are one more
  int64_t max_prompts = 0;     // of each, drawn at random; 0: all
  std::string random_lengths;  // "SHORTEST:LONGEST": a synthetic data set beside them
  int64_t num_prompts = 1000;  // of the synthetic one

  void add_to(CLI::App& command);
};

/// Reads and tokenizes every data set; a file's is called by its name without folder and extension,
/// the synthetic one "random-SHORTEST-LONGEST".
/// @param job   with model and tokenizer
/// @param seed  of what is drawn at random
/// @throws UsageError if there is none, or two have the same name
std::vector<bench::DataSet> read_data_sets(const DataSetOptions& options, const Job& job,
                                           uint64_t seed);

}  // namespace prepack::cli
