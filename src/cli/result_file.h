#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "cli/job.h"
#include "prepack/generate.h"

namespace prepack::cli {

/// One prompt's result as a line of JSON: id, prompt, text, token_ids, finish_reason,
/// prompt_tokens.
std::string result_line(const PreparedPrompt& prompt, const GenerationResult& result);

/// What an earlier run left in a result file.
struct FinishedResults {
  size_t num_prompts = 0;  // the first of the job, all done
  int64_t num_bytes = 0;   // of their lines; what follows is a line cut off by a kill
};

/// Reads the results that a killed job wrote, for --resume.
/// @throws InvalidArgument naming the line that does not belong to this job's prompts
FinishedResults read_finished_results(const std::filesystem::path& file,
                                      std::span<const PreparedPrompt> prompts);

}  // namespace prepack::cli
