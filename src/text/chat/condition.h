#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::text {

/// A template's condition, as far as it depends on the conversation: there are no tools and no
/// calls of tools, contents are texts, and an answer is to follow.
struct Condition {
  std::optional<bool> known;              // what it is in each conversation of ours
  std::string text;                       // what remains of it where that differs
  std::vector<std::string> alternatives;  // which `or` joins; itself where there is but one
};

/// @param expression  spelled by spell_expression
Condition simplify_condition(std::string_view expression);

/// Whether what we know of a condition would no longer hold if this variable were set.
bool is_known_variable(std::string_view name);

}  // namespace prepack::text
