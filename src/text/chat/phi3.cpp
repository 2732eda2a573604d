#include <fmt/format.h>

#include "prepack/error.h"
#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "phi3";

/// What differs between the models and their revisions.
struct Version {
  bool begins_with_bos = false;
  bool writes_system = true;
  bool skips_empty_system = false;
  bool opens_answers = false;  // each user message is followed by the answer's beginning
};

class Phi3 : public ChatForm {
 public:
  Phi3(std::string bos, Version version) : bos_(std::move(bos)), version_(version) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& /*options*/) const override {
    std::string prompt = version_.begins_with_bos ? bos_ : "";
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto& [role, content] = messages[i];
      if (role == "system" && content.empty() && version_.skips_empty_system) continue;
      if (role == "system" && !version_.writes_system) {
        fail_role(i, "user\" or \"assistant", role);
      }
      if (role != "assistant" || !version_.opens_answers) prompt += fmt::format("<|{}|>\n", role);
      prompt += content + "<|end|>\n";
      if (role == "user" && version_.opens_answers) prompt += kAnswer;
    }
    return version_.opens_answers ? prompt : prompt.append(kAnswer);
  }

 private:
  static constexpr std::string_view kAnswer = "<|assistant|>\n";

  std::string bos_;
  Version version_;
};

/// The first revisions of mini and medium.
bool opens_answers(const ChatSource& source) {
  return source.writes_content("'<|user|>'+'\\n'+", "+'<|end|>'+'\\n'+'<|assistant|>'+'\\n'") &&
         source.writes_content("", "+'<|end|>'+'\\n'");
}

bool writes_each_role(const ChatSource& source) {
  for (const std::string_view role : {"system", "user", "assistant"}) {
    if (!source.writes_content(fmt::format("'<|{}|>\\n'+", role), "+'<|end|>\\n'")) return false;
  }
  return true;
}

/// Of the first revisions, which mostly leave system messages out.
bool writes_system(const ChatSource& source) {
  if (!source.has("system")) return false;
  require_template(source.has_compact("(message['role']=='system')%}") &&
                       source.writes_content("'<|system|>'+'\\n'+", "+'<|end|>'+'\\n'"),
                   kForm, "system messages so");
  return true;
}

}  // namespace

ChatFormPtr recognise_phi3(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("<|end|>") || !source.has("<|assistant|>")) return nullptr;
  for (const std::string_view word : {"trim", "strip", "tool", "strftime_now", "messages["}) {
    source.refuse(kForm, word, "it writes more or differently");
  }
  source.refuse_plain_text(kForm);
  Version version;
  version.begins_with_bos = source.writes("bos_token");
  if (!version.begins_with_bos) source.refuse(kForm, "bos_token", "it writes BOS differently");
  version.opens_answers = opens_answers(source);
  version.writes_system = !version.opens_answers || writes_system(source);
  if (!version.opens_answers) {
    require_template(writes_each_role(source) ||
                         source.writes_content("'<|'+message['role']+'|>'+'\\n'+", "+'<|end|>\\n'"),
                     kForm, "messages so");
    require_template(source.writes("'<|assistant|>\\n'"), kForm, "a generation prompt");
  }
  version.skips_empty_system =
      !version.writes_system ||
      source.has_with_member("ifmessage['role']=='system'and", "content", "%}");
  return std::make_shared<Phi3>(tokens.bos, version);
}

}  // namespace prepack::text
