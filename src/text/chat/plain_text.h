#pragma once

#include <string_view>

namespace prepack::text {

/// Whether a template writes text that stands between its tags, be it only white space. A block's
/// or a comment's tag takes away the indentation before it and the newline behind it, an output's
/// tag nothing, and a minus on any of them all white space on its side.
/// Ref: Jinja's "Whitespace Control"; transformers renders with trim_blocks and lstrip_blocks
bool writes_plain_text(std::string_view jinja);

}  // namespace prepack::text
