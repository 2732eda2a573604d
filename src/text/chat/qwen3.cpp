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
  const auto require = [&](std::string_view compact, std::string_view what) {
    source.require(kForm, compact, what);
  };
  require("{{-'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'}}",
          "the system message so");
  require("message.role=='system'andnotloop.first", "later system messages so");
  // Later revisions look first whether the content is a text.
  require_template(
      source.has_compact(
          "{{-'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>'+'\\n'}}") ||
          source.has_compact("{{-'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>'+'\\n'}}"),
      kForm, "messages so");
  require(".split('</think>')[-1].lstrip('\\n')", "answers so");
  require(".split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n')", "reasoning so");
  require(
      "{%-ifloop.index0>ns.last_query_index%}"
      "{%-ifloop.lastor(notloop.lastandreasoning_content)%}"
      "{{-'<|im_start|>'+message.role+'\\n<think>\\n'+reasoning_content.strip('\\n')+"
      "'\\n</think>\\n\\n'+content.lstrip('\\n')}}{%-else%}"
      "{{-'<|im_start|>'+message.role+'\\n'+content}}{%-endif%}{%-else%}"
      "{{-'<|im_start|>'+message.role+'\\n'+content}}{%-endif%}",
      "answers to the last question so");
  const bool has_choice = source.has("enable_thinking");
  require(has_choice ? "{{-'<|im_start|>assistant\\n'}}"
                       "{%-ifenable_thinkingisdefinedandenable_thinkingisfalse%}"
                       "{{-'<think>\\n\\n</think>\\n\\n'}}{%-endif%}{%-endif%}"
                     : "{%-ifadd_generation_prompt%}{{-'<|im_start|>assistant\\n<think>\\n'}}"
                       "{%-endif%}",
          "a generation prompt");
  return std::make_shared<Qwen3>(!has_choice);
}

}  // namespace prepack::text
