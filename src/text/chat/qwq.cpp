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
  if (!source.has("<|im_start|>") || source.has("last_query_index") || !source.reaches(kAnswer)) {
    return nullptr;
  }
  SourceReader reader(source, kForm);
  reader.expect(
      "{%if messages[0].role=='system'%}"
      "{{'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'}}{%endif%}",
      "the system message so");
  reader.expect(
      "{%for message in messages%}"
      "{%if message.role=='user' or message.role=='system' and not loop.first%}"
      "{{'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'}}",
      "messages so");
  reader.expect("{%elif message.role=='assistant'%}", "answers so");
  const bool keeps_last = reader.take("{%set content=message.content%}{%if not loop.last%}");
  reader.expect(fmt::format("{{%set content={}%}}", kAnswer), "answers so");
  if (keeps_last) reader.expect("{%endif%}", "the last answer so");
  reader.expect("{{'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>\\n'}}{%endif%}{%endfor%}",
                "answers so");
  reader.expect("{{'<|im_start|>assistant\\n<think>\\n'}}", "a generation prompt");
  reader.expect_end();
  return std::make_shared<QwQ>(keeps_last);
}

}  // namespace prepack::text
