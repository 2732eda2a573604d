#include <fmt/format.h>

#include <optional>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "llama3";
constexpr std::string_view kDatedForm = "llama3.1";
constexpr std::string_view kDateVariable = "setdate_string='";
constexpr std::string_view kTodaysDate =
    "{%-ifnotdate_stringisdefined%}{%-ifstrftime_nowisdefined%}"
    "{%-setdate_string=strftime_now('%d %b %Y')%}{%-else%}";

std::string turn(std::string_view role, std::string_view content) {
  return fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role,
                     strip(content));
}

constexpr std::string_view kAnswer = "<|start_header_id|>assistant<|end_header_id|>\n\n";

class Llama3 : public ChatForm {
 public:
  explicit Llama3(std::string bos) : bos_(std::move(bos)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt = bos_;
    for (const ChatMessage& message : messages) prompt += turn(message.role, message.content);
    return prompt.append(kAnswer);
  }

 private:
  std::string bos_;
};

/// Of Llama 3.1 to 3.3: always a system turn, which begins with dates.
class DatedLlama3 : public ChatForm {
 public:
  DatedLlama3(std::string bos, std::optional<std::string> date)
      : bos_(std::move(bos)), date_(std::move(date)) {}

  std::string_view name() const override { return kDatedForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& options) const override {
    const bool has_system = messages[0].role == "system";
    // Not trimmed as a whole: an empty system message leaves the two newlines.
    std::string prompt = fmt::format(
        "{}<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: {}\n\n{}<|eot_id|>",
        bos_, date(options), has_system ? strip(messages[0].content) : "");
    for (const ChatMessage& message : messages.subspan(has_system ? 1 : 0)) {
      prompt += turn(message.role, message.content);
    }
    return prompt.append(kAnswer);
  }

 private:
  std::string date(const ChatOptions& options) const {
    if (!options.date && date_) return *date_;
    const auto words = date_words(options.date.value_or(local_date()));
    return fmt::format("{} {} {}", words.day, words.month.substr(0, 3), words.year);
  }

  std::string bos_;
  std::optional<std::string> date_;  // that the template itself names; absent where it asks for
                                     // today's
};

ChatFormPtr recognise_dated(const ChatSource& source, const ChatTokens& tokens) {
  const auto require = [&](std::string_view compact, std::string_view what) {
    source.require(kDatedForm, compact, what);
  };
  require("{{-bos_token}}", "BOS first");
  require("{%-setsystem_message=messages[0]['content']|trim%}{%-setmessages=messages[1:]%}",
          "the system message so");
  require("{{-'<|start_header_id|>system<|end_header_id|>\\n\\n'}}", "a system turn");
  require("{{-'Cutting Knowledge Date: December 2023\\n'}}", "the date of its knowledge so");
  require("{{-'Today Date: '+date_string+'\\n\\n'}}", "the date so");
  require("{{-system_message}}{{-'<|eot_id|>'}}", "the system message so");
  require_template(
      source.has_with_member("{{-'<|start_header_id|>'+", "role", "+'<|end_header_id|>\\n\\n'+") &&
          source.has_with_member("+'<|end_header_id|>\\n\\n'+", "content", "|trim+'<|eot_id|>'}}"),
      kDatedForm, "messages so");
  require("{{-'<|start_header_id|>assistant<|end_header_id|>\\n\\n'}}", "a generation prompt");
  if (source.has("strftime_now")) {
    // Llama 3.2's, which names a date for renderers without that function; transformers has it.
    require(kTodaysDate, "today's date so");
    return std::make_shared<DatedLlama3>(tokens.bos, std::nullopt);
  }
  require(kDateVariable, "a date of its own");
  const auto compact = source.compact();
  const size_t begin = compact.find(kDateVariable) + kDateVariable.size();
  return std::make_shared<DatedLlama3>(
      tokens.bos, std::string(compact.substr(begin, compact.find('\'', begin) - begin)));
}

}  // namespace

ChatFormPtr recognise_llama3(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("<|start_header_id|>")) return nullptr;
  if (source.has("Cutting Knowledge")) return recognise_dated(source, tokens);
  for (const std::string_view word : {"strftime_now", "date_string"}) {
    source.refuse(kForm, word, "it writes the current date, which is not supported");
  }
  source.refuse(kForm, "tools", "it writes tools, which is not supported");
  require_template(
      source.has_with_member("'<|start_header_id|>'+", "role", "+'<|end_header_id|>\\n\\n'+"),
      kForm, "the role so");
  require_template(source.has_with_member("+", "content", "|trim+'<|eot_id|>'"), kForm,
                   "the content so");
  source.require(kForm, "bos_token+content", "BOS");
  source.require(kForm, "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'",
                 "a generation prompt");
  return std::make_shared<Llama3>(tokens.bos);
}

}  // namespace prepack::text
