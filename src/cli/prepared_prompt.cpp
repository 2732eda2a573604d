#include "cli/prepared_prompt.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "cli/output.h"
#include "prepack/chat_template.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

std::vector<PromptRecord> read_records(const PromptOptions& options,
                                       const BadLineHandler& on_bad_line) {
  std::vector<PromptRecord> records;
  for (size_t i = 0; i < options.prompts.size(); ++i) {
    PromptRecord record;
    record.where = fmt::format("--prompt {}", i + 1);
    record.id = std::to_string(i);
    record.text = options.prompts[i];
    records.push_back(std::move(record));
  }
  auto number = static_cast<int64_t>(records.size());
  for (const auto& file : options.files) {
    for (auto& record : read_prompt_file(file, number, on_bad_line)) {
      records.push_back(std::move(record));
    }
  }
  return records;
}

/// Turns a record into token ids. Several threads may share one, once its chat template is loaded.
class PromptPreparer {
 public:
  PromptPreparer(const PromptOptions& options, std::filesystem::path model_folder,
                 const Tokenizer& tokenizer)
      : options_(options), model_folder_(std::move(model_folder)), tokenizer_(tokenizer) {}

  PreparedPrompt prepare(const PromptRecord& record) {
    PreparedPrompt prompt{record.where, record.id, "", {}, record.overrides};
    auto& ids = prompt.request.prompt_ids;
    if (record.ids) {
      ids = *record.ids;
      prompt.text = text_of(ids);
    } else if (!record.messages.empty()) {
      prompt.text = chat_template().apply(record.messages, chat_options());
      ids = tokenizer_.encode(prompt.text, /*add_special_tokens=*/false);
    } else if (options_.chat) {
      prompt.text = *record.text;
      if (prompt.text.empty()) throw InvalidArgument("the prompt is empty");
      const ChatMessage message{"user", prompt.text};
      ids = tokenizer_.encode(chat_template().apply({&message, 1}, chat_options()),
                              /*add_special_tokens=*/false);
    } else {
      prompt.text = *record.text;
      if (prompt.text.empty()) throw InvalidArgument("the prompt is empty");
      ids = tokenizer_.encode(prompt.text, !options_.no_special_tokens);
    }
    return prompt;
  }

  ChatOptions chat_options() const {
    ChatOptions options;
    if (options_.no_thinking) options.enable_thinking = false;
    return options;
  }

  /// What the ids stand for, as far as they stand for anything.
  std::string text_of(TokenIds ids) const {
    std::erase_if(ids, [&](TokenId id) { return !tokenizer_.contains(id); });
    return tokenizer_.decode(ids, /*skip_special_tokens=*/false);
  }

  /// Loaded by the first prompt that needs it.
  const ChatTemplate& chat_template() {
    if (!chat_template_) chat_template_ = load_chat_template(model_folder_);
    return *chat_template_;
  }

 private:
  const PromptOptions& options_;
  std::filesystem::path model_folder_;
  const Tokenizer& tokenizer_;
  std::optional<ChatTemplate> chat_template_;
};

}  // namespace

std::vector<PreparedPrompt> prepare_prompts(const PromptOptions& options,
                                            const std::filesystem::path& model_folder,
                                            const Tokenizer& tokenizer, int threads,
                                            const PromptCheck& check) {
  const BadLineHandler on_bad_line =
      options.skip_bad_lines ? BadLineHandler([](const std::string& message) {
        write_standard_error(fmt::format("prepack: skipped: {}\n", message));
      })
                             : BadLineHandler();
  const auto records = read_records(options, on_bad_line);
  PromptPreparer preparer(options, model_folder, tokenizer);
  const bool needs_template = options.chat || std::ranges::any_of(records, [](const auto& r) {
                                return !r.messages.empty();
                              });
  if (needs_template) preparer.chat_template();  // once, before the threads ask for it

  std::vector<PreparedPrompt> prepared(records.size());
  std::vector<std::string> defects(records.size());
  at::set_num_threads(threads);
  at::parallel_for(0, static_cast<int64_t>(records.size()), /*grain_size=*/16,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       try {
                         prepared[i] = preparer.prepare(records[i]);
                         prepared[i].request.random_stream = static_cast<uint64_t>(i);
                         check(prepared[i]);
                       } catch (const Error& error) {
                         defects[i] = error.what();
                       }
                     }
                   });

  std::vector<PreparedPrompt> sound;
  for (size_t i = 0; i < records.size(); ++i) {
    if (defects[i].empty()) {
      sound.push_back(std::move(prepared[i]));
      continue;
    }
    const auto message = fmt::format("{}: {}", records[i].where, defects[i]);
    if (!on_bad_line) throw InvalidArgument(message);
    on_bad_line(message);
  }
  if (sound.empty()) {
    if (options.prompts.empty() && options.files.empty()) {
      throw UsageError("no prompts: give --prompt TEXT or --prompts FILE");
    }
    throw InvalidArgument("there is not a single prompt in " +
                          (options.files.empty() ? "--prompt" : options.files.front()));
  }
  return sound;
}

}  // namespace prepack::cli
