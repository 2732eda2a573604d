#include <fmt/format.h>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "qwq";
constexpr std::string_view kThinkEnd = "</think>";

/// ChatML whose answers always begin with reasoning, which is left out of earlier ones.
class QwQ : public ChatForm {
 public:
  explicit QwQ(bool keeps_last) : keeps_last_(keeps_last) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt;
    for (size_t i = 0; i < messages.size(); ++i) {
      const bool is_whole =
          messages[i].role != "assistant" || (keeps_last_ && i + 1 == messages.size());
      std::string_view content = messages[i].content;
      if (!is_whole) {
        const size_t end = content.rfind(kThinkEnd);
        if (end != std::string_view::npos) content.remove_prefix(end + kThinkEnd.size());
        content = strip_newlines_begin(content);
      }
      prompt += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", messages[i].role, content);
    }
    return prompt + "<|im_start|>assistant\n<think>\n";
  }

 private:
  bool keeps_last_;  // an answer that ends the conversation is left as it is
};

}  // namespace

ChatFormPtr recognise_qwq(const ChatSource& source, const ChatTokens& /*tokens*/) {
  constexpr std::string_view kAnswer = "message.content.split('</think>')[-1].lstrip('\\n')";
  if (!source.has("<|im_start|>") || source.has("last_query_index") ||
      !source.has_compact(kAnswer)) {
    return nullptr;
  }
  for (const std::string_view word : {"enable_thinking", "reasoning", "strftime_now"}) {
    source.refuse(kForm, word, "it writes more or differently");
  }
  source.refuse_plain_text(kForm);
  source.require(kForm,
                 "{%-ifmessages[0]['role']=='system'%}"
                 "{{-'<|im_start|>system\\n'+messages[0]['content']+'<|im_end|>\\n'}}{%-endif%}",
                 "the system message so");
  const auto writes_turns = [&](std::string_view answer) {
    return source.has_compact(
        fmt::format("{{%-formessageinmessages%}}"
                    "{{%-if(message.role=='user')or(message.role=='system'andnotloop.first)%}}"
                    "{{{{-'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>'+'\\n'}}}}"
                    "{{%-elifmessage.role=='assistant'andnotmessage.tool_calls%}}{}"
                    "{{{{-'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>'+'\\n'}}}}{{%-elif",
                    answer));
  };
  const auto set_answer = fmt::format("{{%-setcontent={}%}}", kAnswer);
  const bool keeps_last = writes_turns(fmt::format(
      "{{%-setcontent=message.content%}}{{%-ifnotloop.last%}}{}{{%-endif%}}", set_answer));
  require_template(keeps_last || writes_turns(set_answer), kForm, "messages so");
  source.require(kForm,
                 "{%-ifadd_generation_prompt%}{{-'<|im_start|>assistant\\n<think>\\n'}}{%-endif%}",
                 "a generation prompt");
  return std::make_shared<QwQ>(keeps_last);
}

}  // namespace prepack::text
