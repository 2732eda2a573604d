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

std::vector<Piece> split_template(std::string_view jinja) {
  std::vector<Piece> pieces;
  const auto add = [&](Piece::Kind kind, std::string_view text) {
    if (kind != Piece::Kind::kText || !text.empty()) pieces.push_back({kind, text});
  };
  if (jinja.ends_with('\n')) jinja.remove_suffix(1);  // the template's last newline is not its text
  if (jinja.ends_with('\r')) jinja.remove_suffix(1);
  bool begins_line = true;
  while (!jinja.empty()) {
    const size_t open = find_tag(jinja);
    const char kind = open == std::string_view::npos ? '\0' : jinja[open + 1];
    const size_t close =
        kind == '\0' ? std::string_view::npos : find_close(jinja.substr(open + 2), kind);
    if (close == std::string_view::npos) {
      add(Piece::Kind::kText, jinja);
      break;
    }
    std::string_view inside = jinja.substr(open + 2, close);
    const char sign = inside.empty() ? '\0' : inside.front();
    add(Piece::Kind::kText, text_before(jinja.substr(0, open), kind, sign, begins_line));
    jinja.remove_prefix(open + 2 + close + 2);
    if (sign == '-' || sign == '+') inside.remove_prefix(1);
    const char close_sign = inside.empty() ? '\0' : inside.back();
    if (close_sign == '-' || close_sign == '+') inside.remove_suffix(1);
    if (kind != '#') add(kind == '{' ? Piece::Kind::kOutput : Piece::Kind::kBlock, inside);

    begins_line = false;
    if (close_sign == '-') {
      jinja.remove_prefix(std::min(jinja.find_first_not_of(kSpace), jinja.size()));
    } else if (kind != '{' && close_sign != '+') {
      const auto newline = jinja.starts_with("\r\n") ? 2 : jinja.starts_with('\n') ? 1 : 0;
      jinja.remove_prefix(newline);
      begins_line = newline > 0;
    }
  }
  return pieces;
}

bool writes_plain_text(std::string_view jinja) {
  return std::ranges::any_of(split_template(jinja),
                             [](const Piece& piece) { return piece.kind == Piece::Kind::kText; });
}

}  // namespace prepack::text
