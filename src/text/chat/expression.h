#pragma once

#include <string>
#include <string_view>

// The expressions of templates, as text in one spelling.

namespace prepack::text {

/// White space that separates no words, the kind of quotes, message['content'] for message.content
/// and 'a' + 'b' for 'ab' differ from model to model and mean nothing: they are spelled alike.
std::string spell_expression(std::string_view jinja);

/// sum + expression, both spelled.
void add_expression(std::string& sum, std::string_view expression);

/// Where words stand outside of literals and brackets; npos if nowhere.
size_t find_words(std::string_view expression, std::string_view words);

/// Whether a word stands anywhere, be it in brackets or literals.
bool has_word(std::string_view text, std::string_view word);

}  // namespace prepack::text
