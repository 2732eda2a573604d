#include "text/chat/expression.h"

#include <algorithm>

namespace prepack::text {
namespace {

constexpr std::string_view kSpace = " \t\n\r";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// Spells the literal that begins at `at`, and moves behind it.
std::string spell_literal(std::string_view jinja, size_t& at) {
  const char quote = jinja[at++];
  std::string literal = "'";
  for (; at < jinja.size() && jinja[at] != quote; ++at) {
    const char c = jinja[at];
    if (c == '\n') {
      literal += "\\n";
    } else if (c == '\'') {
      literal += "\\'";
    } else if (c != '\\' || at + 1 == jinja.size()) {
      literal += c;
    } else {
      const char escaped = jinja[++at];
      if (escaped == '"') {
        literal += '"';
      } else if (escaped != '\n') {  // else the literal goes on in the next line
        literal.append({'\\', escaped});
      }
    }
  }
  ++at;
  return literal + "'";
}

/// x['name'] -> x.name
void spell_member(std::string& spelled) {
  const size_t open = spelled.rfind("['");
  if (!spelled.ends_with("']") || open == std::string::npos || open == 0) return;
  const std::string name = spelled.substr(open + 2, spelled.size() - open - 4);
  const char before = spelled[open - 1];
  const bool is_subscript = is_word(before) || before == ']' || before == ')';
  if (!is_subscript || name.empty() || !std::ranges::all_of(name, is_word)) return;
  spelled.replace(open, std::string::npos, "." + name);
}

}  // namespace

void add_expression(std::string& sum, std::string_view expression) {
  if (sum.ends_with('\'') && expression.starts_with('\'')) {
    sum.pop_back();
    expression.remove_prefix(1);
  } else {
    sum += '+';
  }
  sum += expression;
}

std::string spell_expression(std::string_view jinja) {
  std::string spelled;
  for (size_t at = 0; at < jinja.size();) {
    const char c = jinja[at];
    if (c == '\'' || c == '"') {
      const std::string literal = spell_literal(jinja, at);
      if (spelled.ends_with("'+")) {
        spelled.pop_back();
        add_expression(spelled, literal);
      } else {
        spelled += literal;
      }
    } else if (kSpace.find(c) != std::string_view::npos) {
      at = std::min(jinja.find_first_not_of(kSpace, at), jinja.size());
      const bool separates =
          at < jinja.size() && !spelled.empty() && is_word(spelled.back()) && is_word(jinja[at]);
      if (separates) spelled += ' ';
    } else {
      spelled += c;
      if (c == ']') spell_member(spelled);
      ++at;
    }
  }
  return spelled;
}

size_t find_words(std::string_view expression, std::string_view words) {
  int depth = 0;
  for (size_t at = 0; at < expression.size(); ++at) {
    const char c = expression[at];
    if (c == '\'') {
      while (++at < expression.size() && expression[at] != '\'') at += expression[at] == '\\';
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      --depth;
    } else if (depth == 0 && expression.substr(at).starts_with(words)) {
      const size_t end = at + words.size();
      const bool begins = at == 0 || !is_word(expression[at - 1]);
      if (begins && (end == expression.size() || !is_word(expression[end]))) return at;
    }
  }
  return std::string_view::npos;
}

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; ++at) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(text[at - 1]);
    if (begins && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

}  // namespace prepack::text
