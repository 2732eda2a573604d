#include "text/jinja/text_parts.h"

#include "text/jinja/write_value.h"
#include "text/utf8.h"

namespace prepack::jinja {
namespace {

/// Of the line end that is at the begin of the text: 0 if none is.
size_t line_end_length(std::string_view text) {
  if (text.starts_with("\r\n")) return 2;
  size_t end = 0;
  const char32_t c = text::next_char(text, end);
  const bool is_end = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
  return is_end ? end : 0;
}

}  // namespace

std::string replace(std::string_view text, std::string_view old_part, std::string_view new_part,
                    int64_t count) {
  charge_search(text, old_part);
  std::string result;
  while (count != 0) {
    const size_t at = text.find(old_part);
    if (at == std::string_view::npos) break;
    append_text(result, text.substr(0, at));
    append_text(result, new_part);
    text.remove_prefix(at + old_part.size());
    if (old_part.empty()) {  // between all characters
      if (text.empty()) break;
      const size_t next = text::utf8_length(text.front());
      append_text(result, text.substr(0, next));
      text.remove_prefix(next);
    }
    if (count > 0) --count;
  }
  append_text(result, text);
  return result;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = line_end_length(text.substr(at));
    if (end > 0) {
      charge(2 * kItemBytes + at - begin);
      lines.push_back(text.substr(begin, at - begin + (keep_ends ? end : 0)));
      begin = at + end;
    }
    at += end > 0 ? end : text::utf8_length(text[at]);
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string join_values(const std::vector<Value>& values, std::string_view separator) {
  std::string text;
  for (const Value& value : values) {
    if (&value != values.data()) append_text(text, separator);
    append_text(text, write_value(value));
  }
  return text;
}

}  // namespace prepack::jinja
