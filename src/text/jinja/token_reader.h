#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"

namespace prepack::jinja {

/// Goes through the tokens of a template.
class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  Token take() { return at_ + 1 < tokens_.size() ? std::move(tokens_[at_++]) : tokens_.back(); }
  int line() const { return peek().line; }

  bool is(Token::Kind kind) const { return peek().kind == kind; }
  bool is_operator(std::string_view text) const { return is_operator_at(0, text); }
  bool is_operator_at(size_t ahead, std::string_view text) const {
    return peek(ahead).kind == Token::Kind::kOperator && peek(ahead).text == text;
  }
  bool is_name(std::string_view name, size_t ahead = 0) const {
    return peek(ahead).kind == Token::Kind::kName && peek(ahead).text == name;
  }

  bool take_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    take();
    return true;
  }
  bool take_name(std::string_view name) {
    if (!is_name(name)) return false;
    take();
    return true;
  }

  // LoadErrors that say what is there instead.

  void expect(Token::Kind kind, std::string_view what) {
    if (!is(kind)) fail(what);
    take();
  }
  void expect_operator(std::string_view text) {
    if (!take_operator(text)) fail(fmt::format("\"{}\"", text));
  }
  /// Items up to and with `close`, with commas between them, and perhaps behind.
  template <typename Parse>
  void take_items(std::string_view close, const Parse& parse) {
    for (bool is_first = true; !take_operator(close); is_first = false) {
      if (!is_first) {
        expect_operator(",");
        if (take_operator(close)) return;
      }
      parse();
    }
  }
  std::string expect_any_name() {
    if (!is(Token::Kind::kName)) fail("a name");
    return take().text;
  }

  [[noreturn]] void fail(std::string_view expected) const {
    fail_syntax(line(), fmt::format("expected {}, got {}", expected, describe()));
  }

 private:
  std::string describe() const {
    switch (peek().kind) {
      case Token::Kind::kText:
      case Token::Kind::kBlockBegin:
      case Token::Kind::kOutputBegin:
        return "the begin of a tag";
      case Token::Kind::kBlockEnd:
      case Token::Kind::kOutputEnd:
        return "the end of the tag";
      case Token::Kind::kEnd:
        return "the end of the template";
      case Token::Kind::kString:
        return "a string";
      default:
        return fmt::format("\"{}\"", peek().text);
    }
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace prepack::jinja
