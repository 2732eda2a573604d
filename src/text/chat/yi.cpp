#include <fmt/format.h>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "yi";

/// ChatML in which each user message is followed by the answer's beginning. The system message may
/// stand first, and without a turn of its own.
class Yi : public ChatForm {
 public:
  explicit Yi(bool opens_system) : opens_system_(opens_system) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    check_system_first(messages);
    std::string prompt;
    for (const auto& [role, content] : messages) {
      if (role == "user") {
        prompt += fmt::format("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", content);
      } else if (role == "assistant") {
        prompt += content + "<|im_end|>\n";
      } else {
        prompt +=
            opens_system_ ? fmt::format("<|im_start|>system\n{}<|im_end|>\n", content) : content;
      }
    }
    return prompt;
  }

 private:
  bool opens_system_;  // Yi-Coder's is a turn
};

}  // namespace

ChatFormPtr recognise_yi(const ChatSource& source, const ChatTokens& /*tokens*/) {
  constexpr std::string_view kUser =
      "{{'<|im_start|>user\\n'+content+'<|im_end|>\\n<|im_start|>assistant\\n'}}";
  if (!source.reaches(kUser)) return nullptr;
  SourceReader reader(source, kForm);
  reader.expect(
      "{%if messages[0].role=='system'%}{%set system_message=messages[0].content%}{%endif%}"
      "{%if system_message is defined%}",
      "a system message only where there is one");
  const bool opens_system =
      reader.take("{{'<|im_start|>system\\n'+system_message+'<|im_end|>\\n'}}");
  if (!opens_system) reader.expect("{{system_message}}", "the system message so");
  reader.expect("{%endif%}{%for message in messages%}{%set content=message.content%}",
                "all messages");
  reader.expect("{%if message.role=='user'%}", "user messages so");
  reader.expect(kUser, "user messages so");
  reader.expect("{%elif message.role=='assistant'%}{{content+'<|im_end|>\\n'}}{%endif%}{%endfor%}",
                "assistant messages so");
  reader.expect_end();
  return std::make_shared<Yi>(opens_system);
}

}  // namespace prepack::text
