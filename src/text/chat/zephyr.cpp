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
  for (const std::string_view role : {"user", "system", "assistant"}) {
    require_template(
        source.has_with_member(fmt::format("'<|{}|>\\n'+", role), "content", "+eos_token}}"), kForm,
        fmt::format("{} messages so", role));
  }
  // A newline behind {{ ... }} is text; behind {% ... %} it is dropped.
  require_template(source.has("eos_token }}\n") && !source.has("eos_token }}{"), kForm,
                   "a newline behind each message");
  require_template(source.has("'<|assistant|>' }}\n") || source.has("\"<|assistant|>\" }}\n"),
                   kForm, "a generation prompt");
  return std::make_shared<Zephyr>(tokens.eos);
}

}  // namespace prepack::text
