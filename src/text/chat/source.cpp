#include "text/chat/source.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "text/chat/plain_text.h"
#include "text/chat/reached.h"
#include "weights/json.h"

namespace prepack::text {

ChatSource::ChatSource(std::string_view jinja)
    : raw_(jinja), reached_(find_reached_source(jinja)) {}

void ChatSource::refuse(std::string_view form, std::string_view fragment,
                        std::string_view why) const {
  if (has(fragment)) {
    fail_template(fmt::format("looks like {} but {} ({})", form, why, fragment));
  }
}

bool SourceReader::take(std::string_view part) {
  const bool follows = rest_.starts_with(part);
  if (follows) rest_.remove_prefix(part.size());
  return follows;
}

std::string SourceReader::take_literal() {
  size_t end = 0;
  while (end < rest_.size() && rest_[end] != '\'') end += rest_[end] == '\\' ? 2 : 1;
  if (end >= rest_.size()) fail("a text that ends");
  const std::string text = unescape_literal(rest_.substr(0, end));
  rest_.remove_prefix(end + 1);
  return text;
}

void SourceReader::expect(std::string_view part, std::string_view what) {
  if (!take(part)) fail(what);
}

void SourceReader::expect_any(std::initializer_list<std::string_view> parts,
                              std::string_view what) {
  for (const std::string_view part : parts) {
    if (take(part)) return;
  }
  fail(what);
}

void SourceReader::expect_end() {
  if (!rest_.empty()) {
    fail_template(
        fmt::format("looks like {} but writes more: {}", form_, printable(rest_.substr(0, 40))));
  }
}

void SourceReader::fail(std::string_view what) const {
  fail_template(fmt::format(
      "looks like {} but does not write {}{}", form_, what,
      writes_plain_text(rest_) ? ": it writes text, or white space, between its tags" : ""));
}

void fail_template(std::string_view what) {
  throw LoadError(fmt::format("the chat template {}", what));
}

void require_template(bool condition, std::string_view form, std::string_view what) {
  if (!condition) fail_template(fmt::format("looks like {} but does not write {}", form, what));
}

std::string unescape_literal(std::string_view literal) {
  std::string text;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      text += literal[i];
      continue;
    }
    const char c = literal[++i];
    if (c == '\n') continue;  // the literal goes on in the next line
    if (c == 'n') {
      text += '\n';
    } else if (c == 't') {
      text += '\t';
    } else if (c == '\\' || c == '\'' || c == '"') {
      text += c;
    } else {
      fail_template(
          fmt::format("has an escape \\{} in its system message, which is not supported", c));
    }
  }
  return text;
}

}  // namespace prepack::text
