#pragma once

#include <string_view>
#include <vector>

namespace prepack::text {

/// What a template consists of: text, outputs {{ ... }} and blocks {% ... %}. Comments are none.
struct Piece {
  enum class Kind { kText, kOutput, kBlock };
  Kind kind;
  std::string_view text;  // of a tag: what stands inside, without the minus
};

/// The texts are what is left of them: a block's or a comment's tag takes away the indentation
/// before it and the newline behind it, an output's tag nothing, and a minus on any of them all
/// white space on its side. No text is empty. What follows a tag that does not close is text.
/// Ref: Jinja's "Whitespace Control"; transformers renders with trim_blocks and lstrip_blocks
std::vector<Piece> split_template(std::string_view jinja);

/// Whether a template writes text that stands between its tags, be it only white space.
bool writes_plain_text(std::string_view jinja);

}  // namespace prepack::text
