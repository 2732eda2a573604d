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

/// "{%if message.role=='user'%}", or elif
std::string branch(std::string_view keyword, std::string_view role) {
  return fmt::format("{{%{} message.role=='{}'%}}", keyword, role);
}

/// Each role by itself. Most of the first revisions leave system messages out.
void read_roles(SourceReader& reader, Version& version) {
  constexpr std::string_view kSystem = "{{'<|system|>\\n'+message.content+'<|end|>\\n'}}";
  version.skips_empty_system = reader.take("{%if message.role=='system' and message.content%}");
  version.writes_system = version.skips_empty_system || reader.take(branch("if", "system"));
  if (version.writes_system) {
    reader.expect(kSystem, "system messages so");
  } else {
    version.skips_empty_system = true;
  }
  reader.expect(branch(version.writes_system ? "elif" : "if", "user"), "user messages so");
  version.opens_answers =
      reader.take("{{'<|user|>\\n'+message.content+'<|end|>\\n<|assistant|>\\n'}}");
  if (!version.opens_answers) {
    reader.expect("{{'<|user|>\\n'+message.content+'<|end|>\\n'}}", "user messages so");
  }
  reader.expect(branch("elif", "assistant"), "assistant messages so");
  reader.expect(version.opens_answers ? "{{message.content+'<|end|>\\n'}}"
                                      : "{{'<|assistant|>\\n'+message.content+'<|end|>\\n'}}",
                "assistant messages so");
  reader.expect("{%endif%}", "messages so");
}

}  // namespace

ChatFormPtr recognise_phi3(const ChatSource& source, const ChatTokens& tokens) {
  if (!source.has("<|end|>") || !source.has("<|assistant|>")) return nullptr;
  SourceReader reader(source, kForm);
  Version version;
  version.begins_with_bos = reader.take("{{bos_token}}");
  reader.expect("{%for message in messages%}", "all messages, and nothing before but BOS");
  if (!reader.take("{{'<|'+message.role+'|>\\n'+message.content+'<|end|>\\n'}}")) {
    read_roles(reader, version);
  }
  reader.expect("{%endfor%}", "messages so");
  if (!version.opens_answers) reader.expect("{{'<|assistant|>\\n'}}", "a generation prompt");
  reader.expect_end();
  return std::make_shared<Phi3>(tokens.bos, version);
}

}  // namespace prepack::text
