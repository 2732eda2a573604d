#include <fmt/format.h>

#include "text/chat/form.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "zephyr";

class Zephyr : public ChatForm {
 public:
  explicit Zephyr(std::string eos) : eos_(std::move(eos)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt;
    for (const ChatMessage& message : messages) {
      prompt += fmt::format("<|{}|>\n{}{}\n", message.role, message.content, eos_);
    }
    return prompt + "<|assistant|>\n";
  }

 private:
  std::string eos_;
};

}  // namespace

ChatFormPtr recognise_zephyr(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("<|user|>") || !source.has("eos_token")) return nullptr;
  SourceReader reader(source, kForm);
  reader.expect("{%for message in messages%}", "all messages, and nothing before");
  bool is_first = true;
  for (const std::string_view role : {"user", "system", "assistant"}) {
    // A newline behind {{ ... }} is text; behind {% ... %} it is dropped.
    reader.expect(
        fmt::format("{{%{0} message.role=='{1}'%}}{{{{'<|{1}|>\\n'+message.content+eos_token}}}}\n",
                    is_first ? "if" : "elif", role),
        fmt::format("{} messages so, or a newline behind them", role));
    is_first = false;
  }
  reader.expect("{%endif%}", "messages so");
  reader.expect_any({"{%if loop.last%}{{'<|assistant|>'}}\n{%endif%}{%endfor%}",
                     "{%endfor%}{{'<|assistant|>'}}\n"},
                    "a generation prompt");
  reader.expect_end();
  return std::make_shared<Zephyr>(tokens.eos);
}

}  // namespace prepack::text
