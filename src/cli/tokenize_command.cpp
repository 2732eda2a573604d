#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/job.h"
#include "cli/output.h"
#include "prepack/device.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

struct Options {
  std::string model;
  int threads = 0;
  PromptOptions prompts;
  bool pieces = false;
};

void run(const Options& options) {
  const auto model = resolve_model(options.model);
  const auto tokenizer = load_tokenizer(model);
  const int threads = options.threads > 0 ? options.threads : default_threads();
  const auto check = [&](const PreparedPrompt& prompt) {
    if (prompt.request.prompt_ids.empty()) throw InvalidArgument("the prompt is empty");
    for (TokenId id : prompt.request.prompt_ids) {
      if (tokenizer->contains(id)) continue;
      throw InvalidArgument(fmt::format("token id {} is not in the vocabulary", id));
    }
  };
  for (const auto& prompt : prepare_prompts(options.prompts, model, *tokenizer, threads, check)) {
    nlohmann::json line = nlohmann::json::array();
    for (TokenId id : prompt.request.prompt_ids) {
      if (options.pieces) {
        line.push_back(tokenizer->piece(id));
      } else {
        line.push_back(id);
      }
    }
    write_standard_output(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                          "\n");
  }
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  auto* command = app.add_subcommand("tokenize", "Print the token ids of each prompt");
  const auto options = std::make_shared<Options>();
  command
      ->add_option("-m,--model", options->model,
                   "Folder or GGUF file that holds a tokenizer [default: the default model]")
      ->type_name("MODEL")
      ->group("Model");
  command
      ->add_option("--threads", options->threads,
                   "CPU threads [default: one per core, or as many as the container may use]")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->group("Model");
  options->prompts.add_to(*command);
  command->add_flag("--pieces", options->pieces, "Print the text of each token instead");
  command->callback([options] { run(*options); });
}

}  // namespace prepack::cli
