#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::text {

/// A template's source. It is recognised by the fragments that decide what it writes. White space
/// between Jinja's tokens and the kind of quotes differ from model to model and mean nothing, so
/// fragments are searched in a copy without either.
class ChatSource {
 public:
  explicit ChatSource(std::string_view jinja);

  bool has(std::string_view text) const { return raw_.find(text) != std::string_view::npos; }

  /// `text` without white space outside literals, with single quotes, and newlines escaped.
  bool has_compact(std::string_view text) const { return compact_.find(text) != std::string::npos; }

  /// How many outputs there are, wherever they stand.
  size_t count_outputs() const;

  /// Either spelling of a message's member: message['content'], message.content.
  bool has_with_member(std::string_view before, std::string_view member,
                       std::string_view after) const;

  /// Whether some output is this and nothing else: {{ expression }}, with a minus or without.
  bool writes(std::string_view expression) const;

  /// The same of {{ before message.content after }}.
  bool writes_content(std::string_view before, std::string_view after) const;

  std::string_view raw() const { return raw_; }
  std::string_view compact() const { return compact_; }

  // Refusals. All are LoadErrors that name the form the template looks like.

  void refuse(std::string_view form, std::string_view fragment, std::string_view why) const;
  void require(std::string_view form, std::string_view compact, std::string_view what) const;

  /// For forms whose outputs are searched one by one: there may be nothing written between them.
  void refuse_plain_text(std::string_view form) const;

 private:
  std::string_view raw_;
  std::string compact_;
};

/// @throws LoadError "the chat template ..."
[[noreturn]] void fail_template(std::string_view what);

/// @throws LoadError unless the condition holds
void require_template(bool condition, std::string_view form, std::string_view what);

/// Jinja's escapes in a string literal.
std::string unescape_literal(std::string_view literal);

/// A text with the date in it: literals that are joined by `+ variable +`.
/// @param jinja     begins with the first literal
/// @param variable  the variable that holds the date
/// @return the literals, unescaped; nullopt if the expression is anything else
std::optional<std::vector<std::string>> parse_literals(std::string_view jinja,
                                                       std::string_view variable);

}  // namespace prepack::text
