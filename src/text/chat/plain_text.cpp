#include "text/chat/plain_text.h"

#include <algorithm>

namespace prepack::text {
namespace {

constexpr std::string_view kSpace = " \t\n\r\v\f";

/// Where the next tag opens; npos if there is none.
size_t find_tag(std::string_view jinja) {
  return std::min({jinja.find("{{"), jinja.find("{%"), jinja.find("{#")});
}

/// Where the closing of a tag stands, behind its opening; npos if nowhere.
/// @param kind  the opening's second character
size_t find_close(std::string_view jinja, char kind) {
  const std::string_view close = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
  if (kind == '#') return jinja.find(close);
  char quote = '\0';  // of the literal that we are in
  for (size_t i = 0; i < jinja.size(); ++i) {
    const char c = jinja[i];
    if (quote != '\0') {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = '\0';
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (jinja.substr(i).starts_with(close)) {
      return i;
    }
  }
  return std::string_view::npos;
}

/// The text before a tag, of which its opening may take white space away.
/// @param begins_line  whether the text does
std::string_view text_before(std::string_view text, char kind, char sign, bool begins_line) {
  if (sign == '-') return text.substr(0, text.find_last_not_of(kSpace) + 1);
  if (kind == '{' || sign == '+') return text;
  const size_t line = text.rfind('\n') + 1;  // 0 if there is no newline
  const bool is_indentation = text.find_first_not_of(kSpace, line) == std::string_view::npos;
  return is_indentation && (line > 0 || begins_line) ? text.substr(0, line) : text;
}

}  // namespace

bool writes_plain_text(std::string_view jinja) {
  if (jinja.ends_with('\n')) jinja.remove_suffix(1);  // the template's last newline is not its text
  if (jinja.ends_with('\r')) jinja.remove_suffix(1);
  bool begins_line = true;
  while (!jinja.empty()) {
    const size_t open = find_tag(jinja);
    if (open == std::string_view::npos) return true;
    const char kind = jinja[open + 1];
    const char sign = open + 2 < jinja.size() ? jinja[open + 2] : '\0';
    if (!text_before(jinja.substr(0, open), kind, sign, begins_line).empty()) return true;
    jinja.remove_prefix(open + 2);

    const size_t close = find_close(jinja, kind);
    if (close == std::string_view::npos) return false;  // no template: Jinja would refuse it
    const char close_sign = close > 0 ? jinja[close - 1] : '\0';
    jinja.remove_prefix(close + 2);
    begins_line = false;
    if (close_sign == '-') {
      jinja.remove_prefix(std::min(jinja.find_first_not_of(kSpace), jinja.size()));
    } else if (kind != '{' && close_sign != '+') {
      const auto newline = jinja.starts_with("\r\n") ? 2 : jinja.starts_with('\n') ? 1 : 0;
      jinja.remove_prefix(newline);
      begins_line = newline > 0;
    }
  }
  return false;
}

}  // namespace prepack::text
