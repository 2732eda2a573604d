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

// Tools are a member of a system message, which ours do not have.
constexpr std::string_view kTurns =
    "{%formessageinmessages%}"
    "{%ifmessage['role']=='system'and'tools'inmessageandmessage['tools']isnotnone%}"
    "{{'<|'+message['role']+'|>'+message['content']+'<|tool|>'+message['tools']+'<|/tool|>'+"
    "'<|end|>'}}{%else%}{{'<|'+message['role']+'|>'+message['content']+'<|end|>'}}{%endif%}"
    "{%endfor%}";
constexpr std::string_view kTurnsBehindOwnSystem =
    "{%formessageinmessages%}{%ifmessage['role']=='system'%}{{message['content']}}"
    "{%if'tools'inmessageandmessage['tools']isnotnone%}"
    "{{'<|tool|>'+message['tools']+'<|/tool|>'}}{%endif%}{%endif%}{%endfor%}{{'<|end|>'}}"
    "{%formessageinmessages%}{%ifmessage['role']!='system'%}"
    "{{'<|'+message['role']+'|>'+message['content']+'<|end|>'}}{%endif%}{%endfor%}";
constexpr std::string_view kAnswer =
    "{%ifadd_generation_prompt%}{{'<|assistant|>'}}{%else%}{{eos_token}}{%endif%}";

/// The reasoning model's own system message: {{ '<|system|>...' }}, the first of the outputs.
std::string_view find_own_system(std::string_view compact) {
  constexpr std::string_view kOpen = "{{'<|system|>", kClose = "'}}";
  if (!compact.starts_with(kOpen)) return {};
  const auto text = compact.substr(kOpen.size(), compact.find(kClose) - kOpen.size());
  // Quotes are all the same in the compact source.
  return text.find('\'') == std::string_view::npos ? text : std::string_view();
}

}  // namespace

ChatFormPtr recognise_phi4_mini(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (source.compact() == fmt::format("{}{}", kTurns, kAnswer)) {
    source.refuse_plain_text(kForm);
    return std::make_shared<Phi4Mini>(std::nullopt);
  }
  const auto own_system = find_own_system(source.compact());
  const auto with_own_system =
      fmt::format("{{{{'<|system|>{}'}}}}{}{}", own_system, kTurnsBehindOwnSystem, kAnswer);
  if (own_system.empty() || source.compact() != with_own_system) return nullptr;
  // Each system message follows a space, and nothing else stands between the tags.
  constexpr std::string_view kSpaced = "%} {{ message['content'] }}";
  const auto without_space = replace_all(source.raw(), kSpaced, "%}{{ message['content'] }}");
  require_template(source.has(kSpaced) && !writes_plain_text(without_space), kForm,
                   "system messages so");
  return std::make_shared<Phi4Mini>(unescape_literal(own_system));
}

}  // namespace prepack::text
