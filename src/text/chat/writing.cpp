#include "text/chat/writing.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "prepack/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

bool is_blank(char32_t c) { return is_space(c) || (c >= 0x1C && c <= 0x1F); }

}  // namespace

std::string_view strip_end(std::string_view text) {
  while (!text.empty()) {
    const size_t begin = previous_char_start(text, text.size());
    size_t at = begin;
    if (!is_blank(next_char(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string_view strip(std::string_view text) {
  while (!text.empty()) {
    size_t end = 0;
    if (!is_blank(next_char(text, end))) break;
    text.remove_prefix(end);
  }
  return strip_end(text);
}

std::string_view strip_newlines_begin(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  return text;
}

std::string_view strip_newlines_end(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

std::string_view strip_newlines(std::string_view text) {
  return strip_newlines_end(strip_newlines_begin(text));
}

std::string replace_all(std::string_view text, std::string_view old_part,
                        std::string_view new_part) {
  std::string result;
  while (true) {
    const size_t at = text.find(old_part);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += new_part;
    text.remove_prefix(at + old_part.size());
  }
}

std::chrono::year_month_day local_date() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return std::chrono::year(local.tm_year + 1900) / (local.tm_mon + 1) / local.tm_mday;
}

DateWords date_words(std::chrono::year_month_day date) {
  constexpr std::array<std::string_view, 12> kMonths = {
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  if (!date.ok()) throw InvalidArgument("the date of a chat template is not a day");
  return {fmt::format("{:02}", static_cast<unsigned>(date.day())),
          std::string(kMonths[static_cast<unsigned>(date.month()) - 1]),
          fmt::format("{:04}", static_cast<int>(date.year()))};
}

void fail_role(size_t index, std::string_view expected, std::string_view got) {
  throw InvalidArgument(
      fmt::format("message {}: expected role \"{}\", got \"{}\"", index, expected, got));
}

void check_alternation(std::span<const ChatMessage> messages, size_t first) {
  for (size_t i = first; i < messages.size(); ++i) {
    const std::string_view expected = (i - first) % 2 == 0 ? "user" : "assistant";
    if (messages[i].role != expected) fail_role(i, expected, messages[i].role);
  }
}

void check_system_first(std::span<const ChatMessage> messages) {
  for (size_t i = 1; i < messages.size(); ++i) {
    if (messages[i].role == "system") fail_role(i, "user\" or \"assistant", "system");
  }
}

}  // namespace prepack::text
