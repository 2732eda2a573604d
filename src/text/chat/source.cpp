#include "text/chat/source.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "text/chat/plain_text.h"

namespace prepack::text {

ChatSource::ChatSource(std::string_view jinja) : raw_(jinja) {
  char quote = '\0';  // of the literal that we are in
  bool in_tag = false;
  for (size_t i = 0; i < jinja.size(); ++i) {
    const char c = jinja[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
      compact_ += c == '\n' ? "\\n" : c == '"' ? "'" : std::string(1, c);
      if (c == '\\' && i + 1 < jinja.size()) compact_ += jinja[++i];
    } else if (in_tag && (c == '\'' || c == '"')) {
      quote = c;
      compact_ += '\'';
    } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
      compact_ += c;
      if (compact_.ends_with("{{") || compact_.ends_with("{%")) in_tag = true;
      if (compact_.ends_with("}}") || compact_.ends_with("%}")) in_tag = false;
    }
  }
}

size_t ChatSource::count_outputs() const {
  size_t count = 0;
  for (size_t at = 0; (at = compact_.find("{{", at)) != std::string::npos; at += 2) ++count;
  return count;
}

bool ChatSource::has_with_member(std::string_view before, std::string_view member,
                                 std::string_view after) const {
  return has_compact(fmt::format("{}message['{}']{}", before, member, after)) ||
         has_compact(fmt::format("{}message.{}{}", before, member, after));
}

bool ChatSource::writes(std::string_view expression) const {
  // A minus drops white space outside; whether there is any is asked apart.
  for (const std::string_view open : {"{{", "{{-"}) {
    for (const std::string_view close : {"}}", "-}}"}) {
      if (has_compact(fmt::format("{}{}{}", open, expression, close))) return true;
    }
  }
  return false;
}

bool ChatSource::writes_content(std::string_view before, std::string_view after) const {
  return writes(fmt::format("{}message['content']{}", before, after)) ||
         writes(fmt::format("{}message.content{}", before, after));
}

void ChatSource::refuse(std::string_view form, std::string_view fragment,
                        std::string_view why) const {
  if (has(fragment)) {
    fail_template(fmt::format("looks like {} but {} ({})", form, why, fragment));
  }
}

void ChatSource::require(std::string_view form, std::string_view compact,
                         std::string_view what) const {
  require_template(has_compact(compact), form, what);
}

void ChatSource::refuse_plain_text(std::string_view form) const {
  if (writes_plain_text(raw_)) {
    fail_template(
        fmt::format("looks like {} but writes text, or white space, between its tags", form));
  }
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

std::optional<std::vector<std::string>> parse_literals(std::string_view jinja,
                                                       std::string_view variable) {
  const auto skip_space = [&] {
    const size_t next = jinja.find_first_not_of(" \n\t\r");
    jinja.remove_prefix(next == std::string_view::npos ? jinja.size() : next);
  };
  const auto take = [&](std::string_view token) {
    skip_space();
    const bool is_next = jinja.starts_with(token);
    if (is_next) jinja.remove_prefix(token.size());
    return is_next;
  };
  std::vector<std::string> literals;
  while (true) {
    skip_space();
    const char quote = jinja.empty() ? '\0' : jinja.front();
    if (quote != '\'' && quote != '"') return std::nullopt;
    size_t end = 1;
    while (end < jinja.size() && jinja[end] != quote) end += jinja[end] == '\\' ? 2 : 1;
    if (end >= jinja.size()) return std::nullopt;
    literals.push_back(unescape_literal(jinja.substr(1, end - 1)));
    jinja.remove_prefix(end + 1);
    if (take("%}") || take("-%}")) return literals;
    if (!take("+") || !take(variable) || !take("+")) return std::nullopt;
  }
}

}  // namespace prepack::text
