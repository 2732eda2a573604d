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

/// The literal between these two parts of the compact source.
std::string find_literal(std::string_view compact, std::string_view before,
                         std::string_view after) {
  const auto fail = [] { require_template(false, kForm, "a system message of its own so"); };
  const size_t found = compact.find(before);
  if (found == std::string_view::npos) fail();
  const size_t begin = found + before.size();
  const size_t end = compact.find('\'', begin);
  if (end == std::string_view::npos || !compact.substr(end).starts_with(after)) fail();
  return unescape_literal(compact.substr(begin, end - begin));
}

}  // namespace

ChatFormPtr recognise_smollm3(const ChatSource& source, const ChatTokens& /*tokens*/) {
  if (!source.has("<|im_start|>") || !source.has("reasoning_mode")) return nullptr;
  const auto require = [&](std::string_view compact, std::string_view what) {
    source.require(kForm, compact, what);
  };
  require("{%-ifenable_thinkingisnotdefined-%}{%-setenable_thinking=true-%}", "a mode so");
  require(
      "{%-ifenable_thinking-%}{%-setreasoning_mode='/think'-%}{%-else-%}"
      "{%-setreasoning_mode='/no_think'-%}{%-endif-%}",
      "the mode so");
  require(
      "{%-if'/no_think'insystem_message-%}{%-setreasoning_mode='/no_think'-%}"
      "{%-elif'/think'insystem_message-%}{%-setreasoning_mode='/think'-%}{%-endif-%}",
      "the mode of a system message so");
  require("system_message.replace('/no_think','').replace('/think','').rstrip()",
          "the system message so");
  require(
      "{%-if'/system_override'insystem_message-%}"
      "{{-custom_instructions.replace('/system_override','').rstrip()-}}"
      "{{-'<|im_end|>\\n'-}}{%-else-%}"
      "{{-'## Metadata\\n\\n'-}}{{-'Knowledge Cutoff Date: June 2025\\n'-}}"
      "{%-settoday=strftime_now('%d %B %Y')-%}{{-'Today Date: '~today~'\\n'-}}"
      "{{-'Reasoning Mode: '+reasoning_mode+'\\n\\n'-}}{{-'## Custom Instructions\\n\\n'-}}"
      "{%-ifcustom_instructions-%}{{-custom_instructions+'\\n\\n'-}}",
      "the system turn so");
  require("{{-'\\n\\n'-}}{{-'<|im_end|>\\n'-}}{%-endif-%}{%-endif-%}", "the system turn's end so");
  require("{{'<|im_start|>'+message.role+'\\n'+content+'<|im_end|>\\n'}}", "user messages so");
  require("{{'<|im_start|>assistant\\n'+content.lstrip('\\n')+'<|im_end|>\\n'}}", "answers so");
  require(
      "{{'<|im_start|>assistant\\n'+'<think>\\n\\n</think>\\n'+content.lstrip('\\n')+"
      "'<|im_end|>\\n'}}",
      "answers without reasoning so");
  require(
      "{%-ifreasoning_mode=='/think'-%}{{'<|im_start|>assistant\\n'}}{%-else-%}"
      "{{'<|im_start|>assistant\\n'+'<think>\\n\\n</think>\\n'}}{%-endif-%}",
      "a generation prompt");
  constexpr std::string_view kThinkingDefault = "{%-elifreasoning_mode=='/think'-%}{{-'";
  constexpr std::string_view kPlainDefault = "'-}}{%-else-%}{{-'";
  SmolLm3::DefaultSystem defaults;
  defaults.thinking = find_literal(source.compact(), kThinkingDefault, kPlainDefault);
  const auto rest = source.compact().substr(source.compact().find(kThinkingDefault));
  defaults.plain = find_literal(rest, kPlainDefault, "'-}}{%-endif-%}");
  return std::make_shared<SmolLm3>(std::move(defaults));
}

}  // namespace prepack::text
