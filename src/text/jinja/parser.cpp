#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "text/jinja/expression_parser.h"
#include "text/jinja/lexer.h"
#include "text/jinja/token_reader.h"

namespace prepack::jinja {
namespace {

using Kind = Token::Kind;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Body parse() { return parse_body({}); }

 private:
  using Ends = std::initializer_list<std::string_view>;

  /// Up to the block that one of these names begin, of which `{%` is read; without any, up to the
  /// end.
  Body parse_body(Ends ends) {
    constexpr int kMaxDepth = 50;
    if (++depth_ > kMaxDepth) fail_syntax(tokens_.line(), "blocks lie too deep in one another");
    Body body;
    while (!tokens_.is(Kind::kEnd)) {
      if (tokens_.is(Kind::kText)) {
        body.push_back(make_text(tokens_.take().text));
      } else if (tokens_.is(Kind::kOutputBegin)) {
        body.push_back(parse_output());
      } else {
        tokens_.expect(Kind::kBlockBegin, "a tag");
        if (is_one_of(ends)) break;
        body.push_back(parse_statement());
      }
    }
    if (ends.size() > 0 && tokens_.is(Kind::kEnd)) {
      tokens_.fail(fmt::format("{{% {} %}}", *(ends.end() - 1)));
    }
    --depth_;
    return body;
  }

  bool is_one_of(Ends names) const {
    return std::ranges::any_of(names, [&](std::string_view name) { return tokens_.is_name(name); });
  }

  void end_block() { tokens_.expect(Kind::kBlockEnd, "the end of the tag"); }

  /// The body of a block whose begin is read but for "%}", and the block that ends it.
  Body parse_whole_body(std::string_view end) {
    end_block();
    Body body = parse_body({end});
    tokens_.take();
    end_block();
    return body;
  }

  /// Likewise of a block that has variables of its own.
  Body parse_scoped_body(std::string_view end) {
    ++num_scopes_;
    Body body = parse_whole_body(end);
    --num_scopes_;
    return body;
  }

  Statement parse_output() {
    const int line = tokens_.line();
    tokens_.take();
    auto value = expressions_.parse_tuple();
    tokens_.expect(Kind::kOutputEnd, "the end of the tag");
    return make_output(std::move(value), line);
  }

  Statement parse_statement() {
    const int line = tokens_.line();
    const std::string name = tokens_.expect_any_name();
    if (name == "if") return parse_if(line);
    if (name == "for") return parse_for(line);
    if (name == "set") return parse_set(line);
    if (name == "macro") return parse_macro(line);
    if (name == "with") return parse_with(line);
    if (name == "generation") return make_scope({}, parse_whole_body("endgeneration"), line);
    if (name == "break" || name == "continue") return parse_flow(name, line);
    fail_syntax(line, fmt::format("the block {} is not supported", name));
  }

  Statement parse_if(int line) {
    std::vector<Branch> branches;
    while (true) {
      auto condition = expressions_.parse_tuple(/*with_choices=*/false);
      end_block();
      auto body = parse_body({"elif", "else", "endif"});
      branches.push_back({std::move(condition), std::move(body), line});
      line = tokens_.line();
      const std::string name = tokens_.take().text;
      if (name == "elif") continue;
      if (name == "else") {
        branches.push_back({{}, parse_whole_body("endif"), line});
      } else {
        end_block();
      }
      return make_if(std::move(branches));
    }
  }

  Statement parse_for(int line) {
    Loop loop;
    loop.target = parse_bracketed_target();
    loop.line = line;
    if (!loop.target.attribute.empty()) fail_syntax(line, "a loop sets an attribute");
    if (!tokens_.take_name("in")) tokens_.fail("\"in\"");
    loop.items = expressions_.parse_tuple(/*with_choices=*/false);
    if (tokens_.take_name("if")) loop.condition = expressions_.parse_expression();
    if (tokens_.is_name("recursive")) fail_syntax(line, "a recursive loop is not supported");
    end_block();
    ++num_scopes_;
    ++num_loops_;
    loop.body = parse_body({"else", "endfor"});
    --num_loops_;
    if (tokens_.take().text == "else") {
      loop.otherwise = parse_whole_body("endfor");
    } else {
      end_block();
    }
    --num_scopes_;
    return make_for(std::move(loop));
  }

  Statement parse_flow(std::string_view name, int line) {
    if (num_loops_ == 0) fail_syntax(line, fmt::format("{} is in no loop", name));
    end_block();
    return make_flow(name == "break" ? Flow::kBreak : Flow::kContinue);
  }

  Target parse_target() {
    Target target;
    target.names.push_back(tokens_.expect_any_name());
    if (tokens_.take_operator(".")) {
      target.attribute = tokens_.expect_any_name();
      return target;
    }
    while (tokens_.take_operator(",")) {
      target.unpacks = true;
      if (!tokens_.is(Kind::kName) || tokens_.is_name("in")) break;
      target.names.push_back(tokens_.take().text);
    }
    return target;
  }

  /// {% for (key, value) in ... %} too.
  Target parse_bracketed_target() {
    if (!tokens_.take_operator("(")) return parse_target();
    Target target = parse_target();
    tokens_.expect_operator(")");
    return target;
  }

  Statement parse_set(int line) {
    Target target = parse_bracketed_target();
    if (tokens_.take_operator("=")) {
      auto value = expressions_.parse_tuple();
      end_block();
      return make_set(std::move(target), std::move(value), line);
    }
    if (tokens_.is_operator("|")) fail_syntax(line, "a set block with a filter is not supported");
    Body body = parse_scoped_body("endset");
    return make_set_block(std::move(target), std::move(body), line);
  }

  Statement parse_macro(int line) {
    // Elsewhere it would see variables that may be gone where it is called.
    if (num_scopes_ > 0) fail_syntax(line, "a macro in a loop or block is not supported");
    std::string name = tokens_.expect_any_name();
    std::vector<Parameter> parameters;
    tokens_.expect_operator("(");
    while (!tokens_.is_operator(")")) {
      if (!parameters.empty()) tokens_.expect_operator(",");
      std::string parameter = tokens_.expect_any_name();
      auto fallback = tokens_.take_operator("=") ? expressions_.parse_expression() : Expression();
      parameters.push_back({std::move(parameter), std::move(fallback)});
    }
    tokens_.expect_operator(")");
    const int num_loops = std::exchange(num_loops_, 0);
    Body body = parse_scoped_body("endmacro");
    num_loops_ = num_loops;
    return make_macro(std::move(name), std::move(parameters), std::move(body));
  }

  Statement parse_with(int line) {
    std::vector<std::pair<std::string, Expression>> variables;
    while (!tokens_.is(Kind::kBlockEnd)) {
      if (!variables.empty()) tokens_.expect_operator(",");
      std::string name = tokens_.expect_any_name();
      tokens_.expect_operator("=");
      variables.emplace_back(std::move(name), expressions_.parse_expression());
    }
    Body body = parse_scoped_body("endwith");
    return make_scope(std::move(variables), std::move(body), line);
  }

  TokenReader tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int num_loops_ = 0;   // around what is read
  int num_scopes_ = 0;  // that have variables of their own
};

}  // namespace

Body parse(std::string_view source) { return Parser(source).parse(); }

}  // namespace prepack::jinja
