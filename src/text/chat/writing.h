#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "prepack/chat_template.h"

// What the forms have in common when they write.

namespace prepack::text {

/// Python's str.strip, which Jinja's trim is: white space, and the separators U+001C to U+001F.
std::string_view strip(std::string_view text);
std::string_view strip_end(std::string_view text);

/// Python's str.strip("\n"), and its halves.
std::string_view strip_newlines(std::string_view text);
std::string_view strip_newlines_begin(std::string_view text);
std::string_view strip_newlines_end(std::string_view text);

std::string replace_all(std::string_view text, std::string_view old_part,
                        std::string_view new_part);

/// Today, where this machine is.
std::chrono::year_month_day local_date();

/// "26", "July", "2024": the English names, whatever the locale.
struct DateWords {
  std::string day;    // two digits
  std::string month;  // whole; the first three letters are its abbreviation
  std::string year;
};
DateWords date_words(std::chrono::year_month_day date);

/// @throws InvalidArgument "message 2: expected role ..., got ..."
[[noreturn]] void fail_role(size_t index, std::string_view expected, std::string_view got);

/// Messages from the `first` on must be from user, assistant, user, ...
/// @throws InvalidArgument naming the first that is not
void check_alternation(std::span<const ChatMessage> messages, size_t first);

/// For forms that write a system message only where it comes first.
/// @throws InvalidArgument naming the first that comes later
void check_system_first(std::span<const ChatMessage> messages);

}  // namespace prepack::text
