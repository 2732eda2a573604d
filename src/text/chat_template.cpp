#include "prepack/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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

/// Digits that are in no conversation, and that no filter changes.
std::string make_marker(size_t index) { return fmt::format("70618290342{}70618290342", index); }

}  // namespace

ChatTemplate::ChatTemplate(std::string_view jinja, SpecialTokens special_tokens)
    : special_tokens_(std::move(special_tokens)) {
  for (const auto& [name, token] : special_tokens_) {
    if (text::find_invalid_utf8(token)) throw LoadError(fmt::format("{} is not UTF-8", name));
  }
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

/// Messages whose mark is not in the prompt; none where the template refuses the marks.
std::vector<size_t> ChatTemplate::find_unwritten(std::span<const ChatMessage> messages,
                                                 const ChatOptions& options, bool at_end) const {
  std::vector<ChatMessage> marked(messages.begin(), messages.end());
  for (size_t i = 0; i < marked.size(); ++i) {
    std::string& content = marked[i].content;
    content.insert(at_end ? content.size() : 0, make_marker(i));
  }
  std::string prompt;
  try {
    prompt = render(marked, options);
  } catch (const InvalidArgument&) {
    return {};
  }
  std::vector<size_t> unwritten;
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool is_there = prompt.find(make_marker(i)) != std::string::npos;
    if (!is_there && !messages[i].content.empty()) unwritten.push_back(i);
  }
  return unwritten;
}

/// Some templates drop messages where others refuse them: a system message, or what comes twice
/// from one side. A message is in the prompt if a mark at its end is, or one at its beginning:
/// templates cut the reasoning off former answers, and ask how contents begin.
void ChatTemplate::check_is_whole(std::span<const ChatMessage> messages,
                                  const ChatOptions& options) const {
  const auto suspects = find_unwritten(messages, options, /*at_end=*/true);
  if (suspects.empty()) return;
  const auto left_out = find_unwritten(messages, options, /*at_end=*/false);
  for (const size_t i : suspects) {
    if (std::ranges::find(left_out, i) == left_out.end()) continue;
    throw InvalidArgument(fmt::format(
        "message {}: the chat template leaves out a message of role \"{}\" at this place", i,
        messages[i].role));
  }
}

}  // namespace prepack
