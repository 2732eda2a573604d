#include <fmt/format.h>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "phi4";
constexpr std::string_view kSystem = "<|im_start|>system<|im_sep|>";
constexpr std::string_view kEnd = "<|im_end|>";

/// What differs between the models and their revisions.
struct Version {
  std::string_view own_system;  // a turn that always comes first, and then no other may
  bool opens_answers = false;   // each user message is followed by the answer's beginning
};

class Phi4 : public ChatForm {
 public:
  explicit Phi4(const Version& version)
      : own_system_(version.own_system), opens_answers_(version.opens_answers) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt = own_system_;
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto& [role, content] = messages[i];
      if (role == "system" && !own_system_.empty()) {
        if (content.empty()) continue;
        fail_role(i, "user\" or \"assistant", role);
      }
      if (role != "assistant" || !opens_answers_) {
        prompt += fmt::format("<|im_start|>{}<|im_sep|>", role);
      }
      prompt += fmt::format("{}{}", content, kEnd);
      if (role == "user" && opens_answers_) prompt += kAnswer;
    }
    return opens_answers_ ? prompt : prompt.append(kAnswer);
  }

 private:
  static constexpr std::string_view kAnswer = "<|im_start|>assistant<|im_sep|>";

  std::string own_system_;
  bool opens_answers_;
};

/// The system turn that the reasoning models' template begins with, as plain text.
std::string_view find_own_system(std::string_view jinja) {
  if (!jinja.starts_with(kSystem)) return {};
  const auto text = jinja.substr(0, jinja.find("{%"));
  require_template(text.ends_with(kEnd) && text.find("{{") == std::string_view::npos &&
                       text.find("{#") == std::string_view::npos,
                   kForm, "its own system message so");
  return text;
}

bool writes_answers(const ChatSource& source, bool has_own_system) {
  if (!has_own_system) {
    return source.writes_content("'<|im_start|>assistant<|im_sep|>'+", "+'<|im_end|>'");
  }
  return source.has_compact(
      "{{'<|im_start|>assistant<|im_sep|>'}}{%generation%}{{message['content']+'<|im_end|>'}}"
      "{%endgeneration%}");
}

}  // namespace

ChatFormPtr recognise_phi4(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_sep|>")) return nullptr;
  Version version;
  version.own_system = find_own_system(source.raw());
  const bool has_own_system = !version.own_system.empty();
  const ChatSource turns(source.raw().substr(version.own_system.size()));
  for (const std::string_view word :
       {"trim", "strip", "tool", "think", "strftime_now", "bos_token", "messages["}) {
    turns.refuse(kForm, word, "it writes more or differently");
  }
  turns.refuse_plain_text(kForm);
  if (has_own_system) {
    turns.refuse(kForm, "system", "it writes other system messages too");
  } else {
    require_template(
        turns.writes_content(fmt::format("'{}'+", kSystem), fmt::format("+'{}'", kEnd)), kForm,
        "system messages so");
  }
  constexpr std::string_view kUser = "'<|im_start|>user<|im_sep|>'+";
  version.opens_answers =
      !has_own_system &&
      turns.writes_content(kUser, "+'<|im_end|><|im_start|>assistant<|im_sep|>'") &&
      turns.writes_content("", "+'<|im_end|>'");
  if (!version.opens_answers) {
    require_template(turns.writes_content(kUser, "+'<|im_end|>'"), kForm, "user messages so");
    require_template(writes_answers(turns, has_own_system), kForm, "assistant messages so");
    require_template(turns.writes("'<|im_start|>assistant<|im_sep|>'"), kForm,
                     "a generation prompt");
  }
  if (turns.count_outputs() != (version.opens_answers ? 3 : 4)) {
    fail_template("looks like phi4 but writes more than messages");
  }
  return std::make_shared<Phi4>(version);
}

}  // namespace prepack::text
