#include "prepack/chat_template.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "prepack/error.h"
#include "text/jinja/functions.h"
#include "text/jinja/template.h"
#include "text/utf8.h"

namespace prepack {
namespace {

void check_message(size_t index, const ChatMessage& message) {
  const auto& [role, content] = message;
  if (role != "system" && role != "user" && role != "assistant") {
    throw InvalidArgument(
        fmt::format("message {}: expected role \"system\", \"user\" or \"assistant\", got \"{}\"",
                    index, role));
  }
  if (const auto offset = text::find_invalid_utf8(content)) {
    throw InvalidArgument(fmt::format("message {}: not valid UTF-8 at byte {}", index, *offset));
  }
}

jinja::Value to_value(std::span<const ChatMessage> messages) {
  std::vector<jinja::Value> values;
  for (const auto& [role, content] : messages) {
    values.emplace_back(jinja::Dict{{{"role", role}, {"content", content}}});
  }
  return values;
}

/// Text that is in no conversation: U+E000 is for private use.
std::string make_marker(size_t index) { return fmt::format("\uE000{}\uE001", index); }

}  // namespace

ChatTemplate::ChatTemplate(std::string_view jinja, SpecialTokens special_tokens)
    : special_tokens_(std::move(special_tokens)) {
  try {
    template_ = std::make_shared<const jinja::Template>(jinja);
  } catch (const LoadError& error) {
    throw LoadError(fmt::format("the chat template, {}", error.what()));
  }
}

std::string ChatTemplate::apply(std::span<const ChatMessage> messages,
                                const ChatOptions& options) const {
  if (messages.empty()) throw InvalidArgument("a conversation needs at least one message");
  for (size_t i = 0; i < messages.size(); ++i) check_message(i, messages[i]);
  if (options.date && !options.date->ok()) throw InvalidArgument("the date is none");
  std::string prompt = render(messages, options);
  check_is_whole(messages, options);
  return prompt;
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 const ChatOptions& options) const {
  std::map<std::string, jinja::Value> variables = {{"messages", to_value(messages)},
                                                   {"add_generation_prompt", true},
                                                   {"tools", jinja::None{}},
                                                   {"documents", jinja::None{}}};
  for (const auto& [name, token] : special_tokens_) variables.emplace(name, token);
  if (options.enable_thinking) variables.emplace("enable_thinking", *options.enable_thinking);
  if (options.date) {
    // What Llama 3.1's and later templates read in place of a date of their own.
    variables.emplace("date_string", jinja::format_date(*options.date, "%d %b %Y"));
  }
  try {
    return template_->render(variables, options.date);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("the chat template, {}", error.what()));
  }
}

/// Some templates drop messages where others refuse them: a system message, or what comes twice
/// from one side. A message is in the prompt if a marker at either of its ends is: templates cut
/// the reasoning off former answers, which may take one of them.
void ChatTemplate::check_is_whole(std::span<const ChatMessage> messages,
                                  const ChatOptions& options) const {
  std::vector<ChatMessage> marked(messages.begin(), messages.end());
  for (size_t i = 0; i < marked.size(); ++i) {
    marked[i].content = make_marker(i) + marked[i].content + make_marker(i);
  }
  std::string prompt;
  try {
    prompt = render(marked, options);
  } catch (const InvalidArgument&) {
    return;  // a template that refuses contents does not drop them
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].content.empty() && prompt.find(make_marker(i)) == std::string::npos) {
      throw InvalidArgument(fmt::format(
          "message {}: the chat template leaves out a message of role \"{}\" at this place", i,
          messages[i].role));
    }
  }
}

}  // namespace prepack
