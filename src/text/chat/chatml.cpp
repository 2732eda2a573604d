#include <fmt/format.h>

#include <optional>

#include "text/chat/form.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "chatml";

class ChatMl : public ChatForm {
 public:
  explicit ChatMl(std::optional<std::string> default_system)
      : default_system_(std::move(default_system)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt;
    const auto turn = [&](std::string_view role, std::string_view content) {
      prompt += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
    };
    if (default_system_ && messages[0].role != "system") turn("system", *default_system_);
    for (const ChatMessage& message : messages) turn(message.role, message.content);
    return prompt + "<|im_start|>assistant\n";
  }

 private:
  std::optional<std::string> default_system_;  // written where no system message is given
};

/// The system message where none is given.
/// @param reader  before '<|im_start|>system\n...<|im_end|>\n'
std::string read_default_system(SourceReader& reader) {
  constexpr std::string_view kOpen = "{{'<|im_start|>system\\n", kClose = "<|im_end|>\n";
  constexpr std::string_view kWhat = "a system message of its own so";
  reader.expect(kOpen, kWhat);
  std::string text = reader.take_literal();
  if (!text.ends_with(kClose)) reader.fail(kWhat);
  reader.expect("}}", kWhat);
  text.resize(text.size() - kClose.size());
  return text;
}

}  // namespace

ChatFormPtr recognise_chatml(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_start|>")) return nullptr;
  for (const std::string_view word : {"strftime_now", "date_string"}) {
    source.refuse(kForm, word, "it writes the current date, which is not supported");
  }
  for (const std::string_view word : {"think>", "thinking", "reasoning"}) {
    source.refuse(kForm, word, "it treats hidden reasoning, which is not supported");
  }
  for (const std::string_view word : {"trim", "strip", "bos_token"}) {
    source.refuse(kForm, word, "it writes messages differently");
  }
  require_template(source.reaches("'<|im_start|>'+message.role+'\\n'+"), kForm, "the role so");

  SourceReader reader(source, kForm);
  std::optional<std::string> system;
  // Some write a first system message before the others. What comes out is the same.
  const bool is_apart = reader.take(
      "{%if messages[0].role=='system'%}"
      "{{'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'}}");
  if (is_apart) {
    if (reader.take("{%else%}")) system = read_default_system(reader);
    reader.expect("{%endif%}", "the system message so");
  }
  const auto read_default = [&](std::string_view condition) {
    if (is_apart || system || !reader.take(condition)) return;
    system = read_default_system(reader);
    reader.expect("{%endif%}", "the system message so");
  };
  read_default("{%if messages[0].role!='system'%}");
  reader.expect("{%for message in messages%}", "all messages");
  for (const std::string_view condition : {"{%if loop.first and messages[0].role!='system'%}",
                                           "{%if loop.first and message.role!='system'%}",
                                           "{%if loop.index0==0 and messages[0].role!='system'%}",
                                           "{%if loop.index0==0 and message.role!='system'%}"}) {
    read_default(condition);
  }
  const bool has_variable = reader.take("{%set content=message.content%}");
  const auto content =
      fmt::format("{}+'<|im_end|>\\n'}}}}", has_variable ? "content" : "message.content");
  constexpr std::string_view kRole = "{{'<|im_start|>'+message.role+'\\n'+";
  constexpr std::string_view kButFirst =
      "{%if message.role=='user' or message.role=='system' and not loop.first";
  if (is_apart) reader.expect(kButFirst, "the system message once");
  const bool lists_roles = is_apart && reader.take(" or message.role=='assistant'");
  if (is_apart) reader.expect("%}", "messages of each role");
  reader.expect(kRole, "the role so");
  reader.expect(content, "the content so");
  if (is_apart && !lists_roles) {
    reader.expect(fmt::format("{{%elif message.role=='assistant'%}}{}{}", kRole, content),
                  "answers so");
  }
  if (is_apart) reader.expect("{%endif%}", "messages so");
  reader.expect_any({"{%endfor%}{{'<|im_start|>assistant\\n'}}",
                     "{%if loop.last%}{{'<|im_start|>assistant\\n'}}{%endif%}{%endfor%}"},
                    "a generation prompt");
  reader.expect_end();
  return std::make_shared<ChatMl>(std::move(system));
}

}  // namespace prepack::text
