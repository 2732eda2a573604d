#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prepack::jinja {

struct Token {
  enum class Kind {
    kText,        // between the tags
    kBlockBegin,  // {%
    kBlockEnd,
    kOutputBegin,  // {{
    kOutputEnd,
    kName,
    kString,  // unescaped
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };

  Kind kind;
  std::string text;
  int line;  // from 1
};

/// Cuts a template into tokens, as Jinja does with trim_blocks and lstrip_blocks, which chat
/// templates are written for: the end of a line behind a block goes with it, and so do the spaces
/// before a block that begins a line. Comments are gone, and raw blocks are text. Ends with kEnd.
/// @throws LoadError "line 3: ..."
std::vector<Token> tokenize(std::string_view source);

/// @throws LoadError "line 3: ..."
[[noreturn]] void fail_syntax(int line, std::string_view what);

}  // namespace prepack::jinja
