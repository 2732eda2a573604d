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
std::string_view find_own_system(std::string_view reached) {
  if (!reached.starts_with(kSystem)) return {};
  const auto text = reached.substr(0, reached.find("{%"));
  require_template(text.ends_with(kEnd) && text.find("{{") == std::string_view::npos, kForm,
                   "its own system message so");
  return text;
}

}  // namespace

ChatFormPtr recognise_phi4(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_sep|>")) return nullptr;
  SourceReader reader(source, kForm);
  Version version;
  version.own_system = find_own_system(source.reached());
  reader.take(version.own_system);
  reader.expect("{%for message in messages%}", "all messages, and nothing before");
  if (version.own_system.empty()) {
    reader.expect(
        "{%if message.role=='system'%}"
        "{{'<|im_start|>system<|im_sep|>'+message.content+'<|im_end|>'}}",
        "system messages so");
  }
  reader.expect(
      version.own_system.empty() ? "{%elif message.role=='user'%}" : "{%if message.role=='user'%}",
      "user messages so");
  reader.expect("{{'<|im_start|>user<|im_sep|>'+message.content+'<|im_end|>", "user messages so");
  version.opens_answers =
      version.own_system.empty() && reader.take("<|im_start|>assistant<|im_sep|>");
  reader.expect("'}}", "user messages so");
  reader.expect("{%elif message.role=='assistant'%}", "assistant messages so");
  reader.expect(version.opens_answers
                    ? "{{message.content+'<|im_end|>'}}"
                    : "{{'<|im_start|>assistant<|im_sep|>'+message.content+'<|im_end|>'}}",
                "assistant messages so");
  reader.expect("{%endif%}{%endfor%}", "messages so");
  if (!version.opens_answers) {
    reader.expect("{{'<|im_start|>assistant<|im_sep|>'}}", "a generation prompt");
  }
  reader.expect_end();
  return std::make_shared<Phi4>(version);
}

}  // namespace prepack::text
