#include "prepack/chat_template.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace prepack {
namespace {

/// Python's str.strip, which Jinja's trim is: white space, and the separators U+001C to U+001F.
std::string_view strip(std::string_view text) {
  const auto blank = [](char32_t c) { return text::is_space(c) || (c >= 0x1C && c <= 0x1F); };
  while (!text.empty()) {
    size_t end = 0;
    if (!blank(text::next_char(text, end))) break;
    text.remove_prefix(end);
  }
  while (!text.empty()) {
    const size_t begin = text::previous_char_start(text, text.size());
    size_t at = begin;
    if (!blank(text::next_char(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

[[noreturn]] void fail_order(size_t index, std::string_view expected, std::string_view got) {
  throw InvalidArgument(
      fmt::format("message {}: expected role \"{}\", got \"{}\"", index, expected, got));
}

/// The forms with [INST] want user, assistant, user, ...
void check_alternation(std::span<const ChatMessage> messages, size_t first) {
  for (size_t i = first; i < messages.size(); ++i) {
    const std::string_view expected = (i - first) % 2 == 0 ? "user" : "assistant";
    if (messages[i].role != expected) fail_order(i, expected, messages[i].role);
  }
}

}  // namespace

std::string_view ChatTemplate::name() const {
  switch (form_) {
    case Form::kChatMl:
      return "chatml";
    case Form::kLlama2:
      return "llama2";
    case Form::kLlama3:
      return "llama3";
    case Form::kMistral:
      return "mistral";
    case Form::kZephyr:
      return "zephyr";
  }
  return "";
}

std::string ChatTemplate::apply(std::span<const ChatMessage> messages) const {
  if (messages.empty()) throw InvalidArgument("a conversation needs at least one message");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      fail_order(i, "system\", \"user\" or \"assistant", role);
    }
    if (const auto offset = text::find_invalid_utf8(messages[i].content)) {
      throw InvalidArgument(fmt::format("message {}: not valid UTF-8 at byte {}", i, *offset));
    }
  }
  switch (form_) {
    case Form::kChatMl:
      return write_chatml(messages);
    case Form::kLlama2:
      return write_llama2(messages);
    case Form::kLlama3:
      return write_llama3(messages);
    case Form::kMistral:
      return write_mistral(messages);
    case Form::kZephyr:
      return write_zephyr(messages);
  }
  return "";
}

std::string ChatTemplate::write_chatml(std::span<const ChatMessage> messages) const {
  std::string prompt;
  const auto turn = [&](std::string_view role, std::string_view content) {
    prompt += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
  };
  if (default_system_ && messages[0].role != "system") turn("system", *default_system_);
  for (const ChatMessage& message : messages) turn(message.role, message.content);
  return prompt + "<|im_start|>assistant\n";
}

std::string ChatTemplate::write_llama2(std::span<const ChatMessage> messages) const {
  const bool has_system = messages[0].role == "system";
  check_alternation(messages, has_system ? 1 : 0);
  if (messages.size() == 1 && has_system) {
    throw InvalidArgument("a system message needs a user message behind it");
  }
  std::string prompt;
  for (size_t i = has_system ? 1 : 0; i < messages.size(); ++i) {
    std::string content = messages[i].content;
    if (i == 1 && has_system) {
      content = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n{}", messages[0].content, content);
    }
    prompt += messages[i].role == "user"
                  ? fmt::format("{}[INST] {} [/INST]", bos_token_, strip(content))
                  : fmt::format(" {} {}", strip(content), eos_token_);
  }
  return prompt;
}

std::string ChatTemplate::write_llama3(std::span<const ChatMessage> messages) const {
  std::string prompt = bos_token_;
  for (const ChatMessage& message : messages) {
    prompt += fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", message.role,
                          strip(message.content));
  }
  return prompt + "<|start_header_id|>assistant<|end_header_id|>\n\n";
}

std::string ChatTemplate::write_mistral(std::span<const ChatMessage> messages) const {
  check_alternation(messages, 0);
  std::string prompt = bos_token_;
  for (const ChatMessage& message : messages) {
    prompt += message.role == "user"
                  ? fmt::format("[INST] {} [/INST]", message.content)
                  : fmt::format("{}{}{}", message.content, eos_token_, turn_end_);
  }
  return prompt;
}

std::string ChatTemplate::write_zephyr(std::span<const ChatMessage> messages) const {
  std::string prompt;
  for (const ChatMessage& message : messages) {
    prompt += fmt::format("<|{}|>\n{}{}\n", message.role, message.content, eos_token_);
  }
  return prompt + "<|assistant|>\n";
}

}  // namespace prepack
