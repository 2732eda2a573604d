#include "text/chat/condition.h"

#include <algorithm>
#include <array>

#include "text/chat/expression.h"

namespace prepack::text {
namespace {

// Ref: transformers' render_jinja_template, which passes tools and documents as none
constexpr std::array<std::string_view, 10> kTrue = {
    "add_generation_prompt",
    "add_generation_prompt is defined",
    "content is string",
    "documents is none",
    "message.content is defined",
    "message.content is string",
    "messages[0].content is string",
    "strftime_now is defined",
    "tools is defined",
    "tools is none",
};
constexpr std::array<std::string_view, 22> kFalse = {
    "'tool_calls'in message",
    "'tools'in message",
    "builtin_tools is defined",
    "custom_tools is defined",
    "date_string is defined",
    "documents",
    "message.content is none",
    "message.get('tool_calls')",
    "message.reasoning_content is defined",
    "message.reasoning_content is string",
    "message.role=='ipython'",
    "message.role=='tool'",
    "message.role=='tool_calls'",
    "message.role=='tool_results'",
    "message.role in['tool','tool_results']",
    "message.tool_calls",
    "message.tool_calls is defined",
    "message.tools is defined",
    "python_tools",
    "tools",
    "tools_in_user_message is defined",
    "xml_tools",
};

Condition known(bool value) { return {value, "", {}}; }
Condition unknown(std::string text) { return {std::nullopt, text, {text}}; }

std::vector<std::string_view> split(std::string_view expression, std::string_view word) {
  std::vector<std::string_view> parts;
  size_t at;
  while ((at = find_words(expression, word)) != std::string_view::npos) {
    parts.push_back(expression.substr(0, at));
    expression.remove_prefix(at + word.size());
  }
  parts.push_back(expression);
  return parts;
}

std::string_view strip_spaces(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

bool is_in_brackets(std::string_view expression) {
  if (!expression.starts_with('(') || !expression.ends_with(')')) return false;
  // A bracket that closes earlier leaves one that closes nothing.
  const auto inside = expression.substr(1, expression.size() - 2);
  int depth = 0;
  for (size_t at = 0; at < inside.size(); ++at) {
    if (inside[at] == '\'') {
      while (++at < inside.size() && inside[at] != '\'') at += inside[at] == '\\';
    } else if (inside[at] == '(') {
      ++depth;
    } else if (inside[at] == ')' && --depth < 0) {
      return false;
    }
  }
  return true;
}

/// @param decides  the value of one part that decides the whole: true for `or`
Condition join(const std::vector<std::string_view>& parts, std::string_view word, bool decides) {
  std::vector<Condition> open;
  for (const std::string_view part : parts) {
    auto condition = simplify_condition(part);
    if (condition.known == decides) return known(decides);
    if (!condition.known) open.push_back(std::move(condition));
  }
  if (open.empty()) return known(!decides);
  if (open.size() == 1) return open[0];
  Condition joined;
  for (const Condition& condition : open) {
    if (!joined.text.empty()) joined.text.append(" ").append(word).append(" ");
    const bool needs_brackets = condition.alternatives.size() > 1;
    joined.text += needs_brackets ? "(" + condition.text + ")" : condition.text;
    joined.alternatives.push_back(condition.text);
  }
  if (!decides) joined.alternatives = {joined.text};
  return joined;
}

Condition negate(const Condition& condition) {
  if (condition.known) return known(!*condition.known);
  const bool needs_brackets =
      condition.alternatives.size() > 1 || find_words(condition.text, "and") != std::string::npos;
  return unknown("not " + (needs_brackets ? "(" + condition.text + ")" : condition.text));
}

}  // namespace

Condition simplify_condition(std::string_view expression) {
  expression = strip_spaces(expression);
  constexpr size_t kMaxLen = 1000;  // bounds how deep brackets are followed
  const bool has_choice = find_words(expression, "if") != std::string_view::npos;  // a if b else c
  if (has_choice || expression.size() > kMaxLen) return unknown(std::string(expression));
  if (const auto parts = split(expression, "or"); parts.size() > 1) return join(parts, "or", true);
  if (const auto parts = split(expression, "and"); parts.size() > 1) {
    return join(parts, "and", false);
  }
  if (find_words(expression, "not") == 0) return negate(simplify_condition(expression.substr(3)));
  if (is_in_brackets(expression)) {
    return simplify_condition(expression.substr(1, expression.size() - 2));
  }
  for (const auto& [words, positive] : {std::pair("is not", "is"), std::pair("not in", "in")}) {
    const size_t at = find_words(expression, words);
    if (at == std::string_view::npos) continue;
    return negate(simplify_condition(
        std::string(expression.substr(0, at)).append(positive).append(expression.substr(at + 6))));
  }
  if (std::ranges::find(kTrue, expression) != kTrue.end()) return known(true);
  if (std::ranges::find(kFalse, expression) != kFalse.end()) return known(false);
  return unknown(std::string(expression));
}

bool is_known_variable(std::string_view name) {
  const auto names_it = [&](std::string_view condition) { return has_word(condition, name); };
  return std::ranges::any_of(kTrue, names_it) || std::ranges::any_of(kFalse, names_it);
}

}  // namespace prepack::text
