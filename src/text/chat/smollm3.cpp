#include <fmt/format.h>

#include "text/chat/form.h"
#include "text/chat/writing.h"

namespace prepack::text {
namespace {

constexpr std::string_view kForm = "smollm3";
constexpr std::string_view kNoThink = "/no_think";
constexpr std::string_view kThink = "/think";
constexpr std::string_view kOverride = "/system_override";

/// ChatML with hidden reasoning, whose system turn holds the date and the mode of reasoning. As
/// published it does not close that turn where there are no tools.
class SmolLm3 : public ChatForm {
 public:
  /// What stands where no system message is given.
  struct DefaultSystem {
    std::string thinking;
    std::string plain;
  };

  explicit SmolLm3(DefaultSystem defaults) : defaults_(std::move(defaults)) {}

  std::string_view name() const override { return kForm; }

  std::string write(std::span<const ChatMessage> messages,
                    const ChatOptions& options) const override {
    check_system_first(messages);
    const bool has_system = messages[0].role == "system";
    const std::string system = has_system ? messages[0].content : "";
    const auto says = [&](std::string_view word) { return system.find(word) != std::string::npos; };
    const bool thinks = !says(kNoThink) && (says(kThink) || options.enable_thinking);
    auto instructions = replace_all(replace_all(system, kNoThink, ""), kThink, "");
    instructions.resize(strip_end(instructions).size());

    std::string prompt = "<|im_start|>system\n";
    if (says(kOverride)) {
      prompt += strip_end(replace_all(instructions, kOverride, ""));
      prompt += "<|im_end|>\n";
    } else {
      const auto date = date_words(options.date.value_or(local_date()));
      prompt += fmt::format(
          "## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: {} {} {}\n"
          "Reasoning Mode: {}\n\n## Custom Instructions\n\n{}",
          date.day, date.month, date.year, thinks ? kThink : kNoThink,
          !instructions.empty() ? instructions + "\n\n"
          : thinks              ? defaults_.thinking
                                : defaults_.plain);
    }
    const std::string answer =
        fmt::format("<|im_start|>assistant\n{}", thinks ? "" : "<think>\n\n</think>\n");
    for (const auto& [role, content] : messages.subspan(has_system ? 1 : 0)) {
      prompt += role == "user"
                    ? fmt::format("<|im_start|>user\n{}<|im_end|>\n", content)
                    : fmt::format("{}{}<|im_end|>\n", answer, strip_newlines_begin(content));
    }
    return prompt + answer;
  }

 private:
  DefaultSystem defaults_;
};

}  // namespace

ChatFormPtr recognise_smollm3(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_start|>") || !source.has("reasoning_mode")) return nullptr;
  SourceReader reader(source, kForm);
  reader.expect(
      "{%if not enable_thinking is defined%}{%set enable_thinking=true%}{%endif%}"
      "{%if enable_thinking%}{%set reasoning_mode='/think'%}{%else%}"
      "{%set reasoning_mode='/no_think'%}{%endif%}",
      "the mode so");
  reader.expect(
      "{{'<|im_start|>system\\n'}}{%if messages[0].role=='system'%}"
      "{%set system_message=messages[0].content%}"
      "{%if '/no_think'in system_message%}{%set reasoning_mode='/no_think'%}"
      "{%elif '/think'in system_message%}{%set reasoning_mode='/think'%}{%endif%}",
      "the mode of a system message so");
  reader.expect(
      "{%set custom_instructions="
      "system_message.replace('/no_think','').replace('/think','').rstrip()%}{%endif%}",
      "the system message so");
  reader.expect(
      "{%if '/system_override'in system_message%}"
      "{{custom_instructions.replace('/system_override','').rstrip()+'<|im_end|>\\n'}}{%else%}"
      "{{'## Metadata\\n\\nKnowledge Cutoff Date: June 2025\\n'}}"
      "{%set today=strftime_now('%d %B %Y')%}{{'Today Date: '~today~'\\n"
      "Reasoning Mode: '+reasoning_mode+'\\n\\n## Custom Instructions\\n\\n'}}"
      "{%if custom_instructions%}{{custom_instructions+'\\n\\n'}}",
      "the system turn so");
  SmolLm3::DefaultSystem defaults;
  constexpr std::string_view kDefault = "a system message of its own so";
  reader.expect("{%elif reasoning_mode=='/think'%}{{'", kDefault);
  defaults.thinking = reader.take_literal();
  reader.expect("}}{%else%}{{'", kDefault);
  defaults.plain = reader.take_literal();
  reader.expect("}}{%endif%}{%endif%}", kDefault);
  reader.expect(
      "{%for message in messages%}"
      "{%set content=message.content if message.content is string else''%}"
      "{%if message.role=='user'%}{{'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>\\n'}}",
      "user messages so");
  reader.expect(
      "{%elif message.role=='assistant'%}{%if reasoning_mode=='/think'%}"
      "{{'<|im_start|>assistant\\n'+content.lstrip('\\n')+'<|im_end|>\\n'}}{%else%}"
      "{{'<|im_start|>assistant\\n<think>\\n\\n</think>\\n'+content.lstrip('\\n')+"
      "'<|im_end|>\\n'}}{%endif%}{%endif%}{%endfor%}",
      "answers so");
  reader.expect(
      "{%if reasoning_mode=='/think'%}{{'<|im_start|>assistant\\n'}}{%else%}"
      "{{'<|im_start|>assistant\\n<think>\\n\\n</think>\\n'}}{%endif%}",
      "a generation prompt");
  reader.expect_end();
  return std::make_shared<SmolLm3>(std::move(defaults));
}

}  // namespace prepack::text
