#include <fmt/format.h>

#include <optional>

#include "text/chat/form.h"
#include "text/chat/plain_text.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "phi4-mini";

/// Phi-3's tags, without a newline behind them.
class Phi4Mini : public ChatForm {
 public:
  explicit Phi4Mini(std::optional<std::string> own_system) : own_system_(std::move(own_system)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt;
    if (own_system_) {
      prompt = "<|system|>" + *own_system_;
      for (const auto& [role, content] : messages) {
        if (role == "system") prompt += " " + content;
      }
      prompt += "<|end|>";
    }
    for (const auto& [role, content] : messages) {
      if (role == "system" && own_system_) continue;
      prompt += fmt::format("<|{}|>{}<|end|>", role, content);
    }
    return prompt + "<|assistant|>";
  }

 private:
  std::optional<std::string> own_system_;  // the reasoning model's, which the others follow
};

}  // namespace

ChatFormPtr recognise_phi4_mini(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.reaches("{{'<|'+message.role+'|>'+message.content+'<|end|>'}}")) return nullptr;
  SourceReader reader(source, kForm);
  std::optional<std::string> own_system;
  if (reader.take("{{'<|system|>")) {
    own_system = reader.take_literal();
    if (own_system->find('\'') != std::string::npos) reader.fail("a system message without quotes");
    // Each system message follows a space.
    reader.expect(
        "}}{%for message in messages%}{%if message.role=='system'%} {{message.content}}{%endif%}"
        "{%endfor%}{{'<|end|>'}}",
        "system messages so");
  }
  reader.expect("{%for message in messages%}", "all messages, and nothing before");
  constexpr std::string_view kTurn = "{{'<|'+message.role+'|>'+message.content+'<|end|>'}}";
  reader.expect(own_system ? fmt::format("{{%if message.role!='system'%}}{}{{%endif%}}", kTurn)
                           : std::string(kTurn),
                "messages so");
  reader.expect("{%endfor%}{{'<|assistant|>'}}", "a generation prompt");
  reader.expect_end();
  return std::make_shared<Phi4Mini>(std::move(own_system));
}

}  // namespace prepack::text
