#include <fmt/format.h>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "qwen3";
constexpr std::string_view kThinkEnd = "</think>";

/// An answer that holds its reasoning: <think>reasoning</think>answer.
struct Answer {
  std::string_view reasoning;
  std::string_view content;
};

Answer split_reasoning(std::string_view content) {
  constexpr std::string_view kThink = "<think>";
  const size_t first_end = content.find(kThinkEnd);
  if (first_end == std::string_view::npos) return {"", content};
  auto reasoning = strip_newlines_end(content.substr(0, first_end));
  const size_t begin = reasoning.rfind(kThink);
  if (begin != std::string_view::npos) reasoning.remove_prefix(begin + kThink.size());
  content.remove_prefix(content.rfind(kThinkEnd) + kThinkEnd.size());
  return {strip_newlines(reasoning), strip_newlines_begin(content)};
}

/// The last user message; the template takes tools' answers, which look so, for none.
size_t last_query(std::span<const ChatMessage> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const auto& [role, content] = messages[i];
    const bool is_tool_response =
        content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (role == "user" && !is_tool_response) return i;
  }
  return messages.size() - 1;
}

/// ChatML with hidden reasoning, which is kept of answers to the last question only.
class Qwen3 : public ChatForm {
 public:
  explicit Qwen3(bool always_thinks) : always_thinks_(always_thinks) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& options) const override {
    std::string prompt;
    const size_t query = last_query(messages);
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto& [role, content] = messages[i];
      prompt += fmt::format("<|im_start|>{}\n", role);
      if (role == "assistant") {
        const auto answer = split_reasoning(content);
        const bool is_last = i + 1 == messages.size();
        if (i > query && (is_last || !answer.reasoning.empty())) {
          prompt += fmt::format("<think>\n{}\n</think>\n\n{}", answer.reasoning,
                                strip_newlines_begin(answer.content));
        } else {
          prompt += answer.content;
        }
      } else {
        prompt += content;
      }
      prompt += "<|im_end|>\n";
    }
    prompt += "<|im_start|>assistant\n";
    if (always_thinks_) return prompt + "<think>\n";
    return options.enable_thinking ? prompt : prompt + "<think>\n\n</think>\n\n";
  }

 private:
  bool always_thinks_;  // the thinking models' leaves no choice: it begins the reasoning
};

}  // namespace

ChatFormPtr recognise_qwen3(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_start|>") || !source.has("last_query_index")) return nullptr;
  SourceReader reader(source, kForm);
  reader.expect(
      "{%if messages[0].role=='system'%}"
      "{{'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'}}{%endif%}",
      "the system message so");
  reader.expect(
      "{%set ns=namespace(multi_step_tool=true,last_query_index=messages|length-1)%}"
      "{%for message in messages[::-1]%}{%set index=(messages|length-1)-loop.index0%}"
      "{%if ns.multi_step_tool and message.role=='user' and "
      "not (message.content.startswith('<tool_response>') and "
      "message.content.endswith('</tool_response>'))%}"
      "{%set ns.multi_step_tool=false%}{%set ns.last_query_index=index%}{%endif%}{%endfor%}",
      "answers by the last question");
  reader.expect("{%for message in messages%}", "all messages");
  // Later revisions look first whether the content is a text.
  const bool is_later = reader.take("{%set content=message.content%}");
  reader.expect(
      fmt::format("{{%if message.role=='user' or message.role=='system' and not loop.first%}}"
                  "{{{{'<|im_start|>'+message.role+'\\n'+{}+'<|im_end|>\\n'}}}}",
                  is_later ? "content" : "message.content"),
      "messages so");
  const auto split = [](std::string_view content, bool is_reasoning) {
    return is_reasoning
               ? fmt::format(
                     "{{%set reasoning_content={}.split('</think>')[0].rstrip('\\n')."
                     "split('<think>')[-1].lstrip('\\n')%}}",
                     content)
               : fmt::format("{{%set content={}.split('</think>')[-1].lstrip('\\n')%}}", content);
  };
  reader.expect("{%elif message.role=='assistant'%}", "answers so");
  if (!is_later) reader.expect("{%set content=message.content%}", "answers so");
  const std::string_view content = is_later ? "content" : "message.content";
  reader.expect(fmt::format("{{%set reasoning_content=''%}}{{%if '</think>'in {}%}}", content),
                "reasoning so");
  // What sets the variable `content` must come last where the other reads it.
  reader.expect(split(content, is_later), "reasoning so");
  reader.expect(split(content, !is_later), "answers so");
  reader.expect(
      "{%endif%}{%if loop.index0>ns.last_query_index%}"
      "{%if loop.last or not loop.last and reasoning_content%}"
      "{{'<|im_start|>'+message.role+'\\n<think>\\n'+reasoning_content.strip('\\n')+"
      "'\\n</think>\\n\\n'+content.lstrip('\\n')}}{%else%}"
      "{{'<|im_start|>'+message.role+'\\n'+content}}{%endif%}{%else%}"
      "{{'<|im_start|>'+message.role+'\\n'+content}}{%endif%}{{'<|im_end|>\\n'}}{%endif%}{%endfor%}",
      "answers to the last question so");
  const bool has_choice = source.has("enable_thinking");
  reader.expect(has_choice ? "{{'<|im_start|>assistant\\n'}}"
                             "{%if enable_thinking is defined and enable_thinking is false%}"
                             "{{'<think>\\n\\n</think>\\n\\n'}}{%endif%}"
                           : "{{'<|im_start|>assistant\\n<think>\\n'}}",
                "a generation prompt");
  reader.expect_end();
  return std::make_shared<Qwen3>(!has_choice);
}

}  // namespace prepack::text
