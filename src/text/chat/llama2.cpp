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
  SourceReader reader(source, kForm);
  // Early revisions, and others' models, write one of their own where none is given.
  reader.expect(
      "{%if messages[0].role=='system'%}{%set loop_messages=messages[1:]%}"
      "{%set system_message=messages[0].content%}{%else%}{%set loop_messages=messages%}"
      "{%set system_message=false%}{%endif%}",
      "the system message only where there is one");
  reader.expect(
      "{%for message in loop_messages%}{%if (message.role=='user')!=(loop.index0%2==0)%}"
      "{{raise_exception()}}{%endif%}",
      "messages in turns");
  reader.expect(
      "{%if loop.index0==0 and system_message!=false%}"
      "{%set content='<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+message.content%}"
      "{%else%}{%set content=message.content%}{%endif%}",
      "the system message so");
  const auto expect = [&](std::string_view before, std::string_view after, std::string_view what) {
    reader.expect_any({fmt::format("{}content.strip(){}", before, after),
                       fmt::format("{}content|trim{}", before, after)},
                      what);
  };
  expect("{%if message.role=='user'%}{{bos_token+'[INST] '+", "+' [/INST]'}}", "user messages so");
  // Of a system message that comes later, which we refuse.
  if (reader.take("{%elif message.role=='system'%}")) {
    expect("{{'<<SYS>>\\n'+", "+'\\n<</SYS>>\\n\\n'}}", "later system messages so");
  }
  expect("{%elif message.role=='assistant'%}{{' '+", "+' '+eos_token}}{%endif%}{%endfor%}",
         "assistant messages so");
  reader.expect_end();
  return std::make_shared<Llama2>(tokens);
}

}  // namespace prepack::text
