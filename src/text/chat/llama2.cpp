#include <fmt/format.h>

#include "prepack/error.h"
#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "llama2";

class Llama2 : public ChatForm {
 public:
  explicit Llama2(ChatTokens tokens) : tokens_(std::move(tokens)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    const bool has_system = messages[0].role == "system";
    check_alternation(messages, has_system ? 1 : 0);
    if (messages.size() == 1 && has_system) {
      throw InvalidArgument("a system message needs a user message behind it");
    }
    std::string prompt;
    for (size_t i = has_system ? 1 : 0; i < messages.size(); ++i) {
      std::string content = messages[i].content;
      if (i == 1 && has_system) {
        content = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n{}", messages[0].content, content);
      }
      prompt += messages[i].role == "user"
                    ? fmt::format("{}[INST] {} [/INST]", tokens_.bos, strip(content))
                    : fmt::format(" {} {}", strip(content), tokens_.eos);
    }
    return prompt;
  }

 private:
  ChatTokens tokens_;
};

}  // namespace

ChatFormPtr recognise_llama2(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("[INST]") || !source.has("<<SYS>>")) return nullptr;
  for (const std::string_view word : {"tools", "USE_DEFAULT_PROMPT", "DEFAULT_SYSTEM"}) {
    source.refuse(kForm, word, "it writes more, which is not supported");
  }
  // Early revisions, and others' models, write one of their own where none is given.
  constexpr std::string_view kSet = "setsystem_message=";
  const auto compact = source.compact();
  const size_t given = compact.find("setsystem_message=messages[0]['content']%}");
  const size_t none = compact.find("setsystem_message=false%}");
  require_template(given < none && compact.find(kSet) == given &&
                       compact.find(kSet, given + 1) == none && compact.rfind(kSet) == none,
                   kForm, "the system message only where there is one");
  source.require(kForm, "'<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+",
                 "the system message so");
  const auto writes = [&](std::string_view before, std::string_view after) {
    return source.has_compact(fmt::format("{}content.strip(){}", before, after)) ||
           source.has_compact(fmt::format("{}content|trim{}", before, after));
  };
  require_template(writes("bos_token+'[INST] '+", "+' [/INST]'"), kForm, "user messages so");
  require_template(writes("' '+", "+' '+eos_token"), kForm, "assistant messages so");
  return std::make_shared<Llama2>(tokens);
}

}  // namespace prepack::text
