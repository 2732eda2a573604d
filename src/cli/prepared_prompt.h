#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/prompt_file.h"
#include "prepack/generate.h"
#include "prepack/tokenizer.h"

namespace prepack::cli {

/// One prompt, ready for the model.
struct PreparedPrompt {
  std::string where;  // for errors
  std::string id;     // JSON text
  std::string text;   // what the user wrote; for messages and ids, what the model sees
  GenerationRequest request;
  GenerationOverrides overrides;
};

/// Completes and checks one prompt; what it throws is this prompt's defect. Called by several
/// threads.
using PromptCheck = std::function<void(PreparedPrompt& prompt)>;

/// Reads all prompts of the command line and its files, puts them into the chat template where
/// asked, and tokenizes them on all cores.
/// @throws InvalidArgument naming the first bad one, unless --skip-bad-lines
std::vector<PreparedPrompt> prepare_prompts(const PromptOptions& options,
                                            const std::filesystem::path& model_folder,
                                            const Tokenizer& tokenizer, int threads,
                                            const PromptCheck& check);

}  // namespace prepack::cli
