#include <fmt/format.h>

#include <optional>

#include "text/chat/form.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "chatml";

class ChatMl : public ChatForm {
 public:
  explicit ChatMl(std::optional<std::string> default_system)
      : default_system_(std::move(default_system)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt;
    const auto turn = [&](std::string_view role, std::string_view content) {
      prompt += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
    };
    if (default_system_ && messages[0].role != "system") turn("system", *default_system_);
    for (const ChatMessage& message : messages) turn(message.role, message.content);
    return prompt + "<|im_start|>assistant\n";
  }

 private:
  std::optional<std::string> default_system_;  // written where no system message is given
};

/// The system message that stands in one literal with its turn:
/// '<|im_start|>system\n...<|im_end|>'.
std::optional<std::string> find_default_system(std::string_view jinja) {
  constexpr std::string_view kOpen = "<|im_start|>system", kClose = "<|im_end|>";
  for (size_t at = 0; (at = jinja.find(kOpen, at)) != std::string_view::npos;) {
    const char quote = at > 0 ? jinja[at - 1] : '\0';
    at += kOpen.size();
    if (quote != '\'' && quote != '"') continue;
    std::string_view rest = jinja.substr(at);
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const size_t end = rest.find(kClose);
    if (end == std::string_view::npos) break;
    const std::string_view text = rest.substr(0, end);
    bool closed = false;  // the literal ends before the turn does: the message is an expression
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == quote) {
        closed = true;
      }
    }
    if (!closed) return unescape_literal(text);
  }
  return std::nullopt;
}

/// Qwen3's instruct models hold contents in a variable, and write the first system message apart.
/// What comes out is the same.
bool writes_turns_by_variable(const ChatSource& source) {
  for (const std::string_view piece :
       {"{%-ifmessages[0].role=='system'%}"
        "{{-'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'}}{%-endif%}",
        "{%-formessageinmessages%}{%-ifmessage.contentisstring%}{%-setcontent=message.content%}"
        "{%-else%}{%-setcontent=''%}{%-endif%}"
        "{%-if(message.role=='user')or(message.role=='system'andnotloop.first)%}"
        "{{-'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>'+'\\n'}}"
        "{%-elifmessage.role=='assistant'%}{{-'<|im_start|>'+message.role+'\\n'+content}}"
        "{%-ifmessage.tool_calls%}",
        "{%-endfor%}{%-endif%}{{-'<|im_end|>\\n'}}{%-elifmessage.role=='tool'%}",
        "{%-ifadd_generation_prompt%}{{-'<|im_start|>assistant\\n'}}{%-endif%}"}) {
    if (!source.has_compact(piece)) return false;
  }
  return true;
}

}  // namespace

ChatFormPtr recognise_chatml(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_start|>")) return nullptr;
  for (const std::string_view word : {"strftime_now", "date_string"}) {
    source.refuse(kForm, word, "it writes the current date, which is not supported");
  }
  for (const std::string_view word : {"think>", "thinking", "reasoning"}) {
    source.refuse(kForm, word, "it treats hidden reasoning, which is not supported");
  }
  for (const std::string_view word : {"trim", "strip", "bos_token"}) {
    source.refuse(kForm, word, "it writes messages differently");
  }
  if (writes_turns_by_variable(source) && !find_default_system(source.raw())) {
    return std::make_shared<ChatMl>(std::nullopt);
  }
  require_template(source.has_with_member("'<|im_start|>'+", "role", "+'\\n'+"), kForm,
                   "the role so");
  require_template(source.has_with_member("+'\\n'+", "content", "+'<|im_end|>'"), kForm,
                   "the content so");
  source.require(kForm, "'<|im_start|>assistant\\n'", "a generation prompt");
  // A default may also be put together from several literals, which is beyond us.
  auto system = find_default_system(source.raw());
  if (!system) {
    for (const std::string_view word : {"system_message", "'system'", "\"system\""}) {
      source.refuse(kForm, word, "its system message is not understood");
    }
  }
  return std::make_shared<ChatMl>(std::move(system));
}

}  // namespace prepack::text
