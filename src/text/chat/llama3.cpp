#include <fmt/format.h>

#include <optional>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "llama3";
constexpr std::string_view kDatedForm = "llama3.1";
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

constexpr std::string_view kRole = "'<|start_header_id|>'+message.role+'<|end_header_id|>\\n\\n'+";
constexpr std::string_view kContent = "message.content|trim+'<|eot_id|>'";
constexpr std::string_view kAnswerOutput =
    "{%endfor%}{{'<|start_header_id|>assistant<|end_header_id|>\\n\\n'}}";

ChatFormPtr recognise_dated(const ChatSource& source, const ChatTokens& tokens) {
  SourceReader reader(source, kDatedForm);
  reader.expect("{{bos_token}}", "BOS first");
  std::optional<std::string> date;
  if (!reader.take("{%set date_string=strftime_now('%d %b %Y')%}")) {
    reader.expect("{%set date_string='", "a date of its own or today's so");
    date = reader.take_literal();
    reader.expect("%}", "the date so");
  }
  reader.expect(
      "{%if messages[0].role=='system'%}{%set system_message=messages[0].content|trim%}"
      "{%set messages=messages[1:]%}{%else%}{%set system_message=''%}{%endif%}",
      "the system message so");
  reader.expect(
      "{{'<|start_header_id|>system<|end_header_id|>\\n\\n"
      "Cutting Knowledge Date: December 2023\\nToday Date: '+date_string+'\\n\\n'+system_message+"
      "'<|eot_id|>'}}",
      "the system turn so");
  reader.expect(fmt::format("{{%for message in messages%}}{{{{{}{}}}}}", kRole, kContent),
                "messages so");
  reader.expect(kAnswerOutput, "a generation prompt");
  reader.expect_end();
  return std::make_shared<DatedLlama3>(tokens.bos, std::move(date));
}

}  // namespace

ChatFormPtr recognise_llama3(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("<|start_header_id|>")) return nullptr;
  if (source.has("Cutting Knowledge")) return recognise_dated(source, tokens);
  for (const std::string_view word : {"strftime_now", "date_string"}) {
    source.refuse(kForm, word, "it writes the current date, which is not supported");
  }
  source.refuse(kForm, "tools", "it writes tools, which is not supported");
  SourceReader reader(source, kForm);
  reader.expect_any({"{%set loop_messages=messages%}{%for message in loop_messages%}",
                     "{%for message in messages%}"},
                    "all messages, and nothing before");
  reader.expect(fmt::format("{{%set content={}", kRole), "the role so");
  reader.expect(fmt::format("{}%}}", kContent), "the content so");
  reader.expect_any({"{%if loop.index0==0%}", "{%if loop.first%}"}, "BOS once");
  reader.expect("{%set content=bos_token+content%}{%endif%}{{content}}", "BOS first");
  reader.expect(kAnswerOutput, "a generation prompt");
  reader.expect_end();
  return std::make_shared<Llama3>(tokens.bos);
}

}  // namespace prepack::text
