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
  if (!source.has_compact(kUser)) return nullptr;
  source.refuse_plain_text(kForm);
  constexpr std::string_view kFind =
      "{%ifmessages[0]['role']=='system'%}{%setsystem_message=messages[0]['content']%}{%endif%}";
  constexpr std::string_view kPlainSystem = "{{system_message}}";
  constexpr std::string_view kSystemTurn =
      "{{'<|im_start|>system\\n'+system_message+'<|im_end|>\\n'}}";
  const auto turns = fmt::format(
      "{{%formessageinmessages%}}{{%setcontent=message['content']%}}"
      "{{%ifmessage['role']=='user'%}}{}"
      "{{%elifmessage['role']=='assistant'%}}{{{{content+'<|im_end|>'+'\\n'}}}}"
      "{{%endif%}}{{%endfor%}}",
      kUser);
  require_template(source.compact().starts_with(kFind), kForm,
                   "a system message only where there is one");
  require_template(source.compact().ends_with(turns), kForm, "messages so");
  auto system = source.compact();
  system.remove_prefix(kFind.size());
  system.remove_suffix(turns.size());
  const auto writes = [&](std::string_view output) {
    return system == fmt::format("{{%ifsystem_messageisdefined%}}{}{{%endif%}}", output);
  };
  require_template(writes(kPlainSystem) || writes(kSystemTurn), kForm, "the system message so");
  return std::make_shared<Yi>(writes(kSystemTurn));
}

}  // namespace prepack::text
