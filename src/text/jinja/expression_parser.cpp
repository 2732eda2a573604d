#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace prepack::jinja {
namespace {

using Kind = Token::Kind;

// An expression has fewer parts than the stack has room for, one in the other.
constexpr int kMaxParts = 500;

int64_t parse_integer(const Token& token) {
  int64_t value = 0;
  const auto& text = token.text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) fail_syntax(token.line, "an integer is too large");
  return value;
}

double parse_float(const Token& token) {
  double value = 0;
  const auto& text = token.text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) fail_syntax(token.line, "a number is too large or too small");
  return value;
}

}  // namespace

/// Counts the parts of one expression, and forgets them behind its end.
class ExpressionParser::Counter {
 public:
  explicit Counter(ExpressionParser& parser) : parser_(parser) {
    ++parser_.num_open_;
    parser_.count_part();
  }
  ~Counter() {
    if (--parser_.num_open_ == 0) parser_.num_parts_ = 0;
  }

 private:
  ExpressionParser& parser_;
};

void ExpressionParser::count_part() {
  if (++num_parts_ > kMaxParts) fail_syntax(tokens_.line(), "an expression is too long");
}

Expression ExpressionParser::parse_expression() {
  const Counter counter(*this);
  auto value = parse_or();
  while (tokens_.take_name("if")) {
    auto condition = parse_or();
    auto otherwise = tokens_.take_name("else") ? parse_expression() : Expression();
    value = make_choice(std::move(condition), std::move(value), std::move(otherwise));
  }
  return value;
}

bool ExpressionParser::ends_tuple() const {
  return tokens_.is(Kind::kOutputEnd) || tokens_.is(Kind::kBlockEnd) || tokens_.is_operator(")");
}

Expression ExpressionParser::parse_tuple(bool with_choices) {
  const auto parse = [&] { return with_choices ? parse_expression() : parse_or(); };
  const Counter counter(*this);
  auto first = parse();
  if (!tokens_.is_operator(",")) return first;
  std::vector<Expression> items;
  items.push_back(std::move(first));
  while (tokens_.take_operator(",") && !ends_tuple()) items.push_back(parse());
  return make_sequence(Sequence::Kind::kTuple, std::move(items));
}

Expression ExpressionParser::parse_or() {
  const Counter counter(*this);
  auto left = parse_and();
  while (tokens_.take_name("or")) left = make_or(std::move(left), parse_and());
  return left;
}

Expression ExpressionParser::parse_and() {
  auto left = parse_not();
  while (tokens_.take_name("and")) left = make_and(std::move(left), parse_not());
  return left;
}

Expression ExpressionParser::parse_not() {
  if (!tokens_.take_name("not")) return parse_comparison();
  count_part();
  return make_not(parse_not());
}

Expression ExpressionParser::parse_comparison() {
  constexpr std::array kOperators = {"==", "!=", "<=", ">=", "<", ">"};
  auto first = parse_sum();
  std::vector<Comparison> comparisons;
  while (true) {
    const auto found = std::ranges::find_if(
        kOperators, [&](const char* text) { return tokens_.take_operator(text); });
    if (found != kOperators.end()) {
      comparisons.push_back({*found, parse_sum()});
    } else if (tokens_.take_name("in")) {
      comparisons.push_back({"in", parse_sum()});
    } else if (tokens_.is_name("not") && tokens_.is_name("in", 1)) {
      tokens_.take();
      tokens_.take();
      comparisons.push_back({"not in", parse_sum()});
    } else {
      break;
    }
  }
  if (comparisons.empty()) return first;
  return make_comparison(std::move(first), std::move(comparisons));
}

Expression ExpressionParser::parse_sum() {
  auto left = parse_concatenation();
  while (tokens_.is_operator("+") || tokens_.is_operator("-")) {
    std::string operation = tokens_.take().text;
    left = make_arithmetic(std::move(operation), std::move(left), parse_concatenation());
  }
  return left;
}

Expression ExpressionParser::parse_concatenation() {
  auto left = parse_product();
  while (tokens_.take_operator("~")) left = make_arithmetic("~", std::move(left), parse_product());
  return left;
}

Expression ExpressionParser::parse_product() {
  auto left = parse_power();
  while (tokens_.is_operator("*") || tokens_.is_operator("/") || tokens_.is_operator("//") ||
         tokens_.is_operator("%")) {
    std::string operation = tokens_.take().text;
    left = make_arithmetic(std::move(operation), std::move(left), parse_power());
  }
  return left;
}

Expression ExpressionParser::parse_power() {
  auto left = parse_unary();
  while (tokens_.take_operator("**")) left = make_arithmetic("**", std::move(left), parse_unary());
  return left;
}

Expression ExpressionParser::parse_unary(bool with_filters) {
  count_part();
  const bool is_minus = tokens_.is_operator("-");
  Expression value;
  if (is_minus || tokens_.is_operator("+")) {
    tokens_.take();
    value = make_sign(is_minus, parse_unary(/*with_filters=*/false));
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  return with_filters ? parse_filters(std::move(value)) : std::move(value);
}

Expression ExpressionParser::parse_primary() {
  if (tokens_.is_operator("(") || tokens_.is_operator("[")) return parse_bracketed();
  if (tokens_.is_operator("{")) return parse_dict();
  return parse_literal();
}

Expression ExpressionParser::parse_literal() {
  switch (tokens_.peek().kind) {
    case Kind::kName: {
      std::string name = tokens_.take().text;
      if (name == "true" || name == "True") return make_literal(true);
      if (name == "false" || name == "False") return make_literal(false);
      if (name == "none" || name == "None") return make_literal(None{});
      return make_name(std::move(name));
    }
    case Kind::kString: {
      std::string text;  // 'a' 'b' is 'ab'
      while (tokens_.is(Kind::kString)) text += tokens_.take().text;
      return make_literal(std::move(text));
    }
    case Kind::kInteger:
      return make_literal(parse_integer(tokens_.take()));
    case Kind::kFloat:
      return make_literal(parse_float(tokens_.take()));
    default:
      tokens_.fail("an expression");
  }
}

Expression ExpressionParser::parse_bracketed() {
  const bool is_list = tokens_.take().text == "[";
  std::vector<Expression> items;
  if (is_list) {
    tokens_.take_items("]", [&] { items.push_back(parse_expression()); });
  } else if (!tokens_.take_operator(")")) {
    auto tuple = parse_tuple();
    tokens_.expect_operator(")");
    return tuple;
  }
  return make_sequence(is_list ? Sequence::Kind::kList : Sequence::Kind::kTuple, std::move(items));
}

Expression ExpressionParser::parse_dict() {
  tokens_.expect_operator("{");
  std::vector<std::pair<Expression, Expression>> items;
  tokens_.take_items("}", [&] {
    auto key = parse_expression();
    tokens_.expect_operator(":");
    items.emplace_back(std::move(key), parse_expression());
  });
  return make_dict(std::move(items));
}

Expression ExpressionParser::parse_postfix(Expression value) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.take_operator(".")) {
      value = parse_attribute(std::move(value));
    } else if (tokens_.take_operator("[")) {
      value = parse_subscript(std::move(value));
    } else if (tokens_.is_operator("(")) {
      value = make_call(std::move(value), parse_arguments(), line);
    } else {
      return value;
    }
    count_part();
  }
}

Expression ExpressionParser::parse_attribute(Expression object) {
  if (tokens_.is(Kind::kInteger)) {
    return make_item(std::move(object), make_literal(parse_integer(tokens_.take())));
  }
  return make_attribute(std::move(object), tokens_.expect_any_name());
}

Expression ExpressionParser::parse_subscript(Expression object) {
  const auto parse_end = [&]() -> Expression {
    if (tokens_.is_operator(":") || tokens_.is_operator("]")) return {};
    return parse_expression();
  };
  auto start = parse_end();
  if (!tokens_.take_operator(":")) {
    if (!start) tokens_.fail("an expression");
    tokens_.expect_operator("]");
    return make_item(std::move(object), std::move(start));
  }
  auto stop = parse_end();
  auto step = tokens_.take_operator(":") ? parse_end() : Expression();
  tokens_.expect_operator("]");
  return make_slice(std::move(object), std::move(start), std::move(stop), std::move(step));
}

CallArguments ExpressionParser::parse_arguments() {
  tokens_.expect_operator("(");
  CallArguments arguments;
  tokens_.take_items(")", [&] {
    if (tokens_.is(Kind::kName) && tokens_.is_operator_at(1, "=")) {
      std::string name = tokens_.take().text;
      tokens_.take();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (!arguments.named.empty()) tokens_.fail("a named argument");
      arguments.positional.push_back(parse_expression());
    }
  });
  return arguments;
}

Expression ExpressionParser::parse_filters(Expression value) {
  while (true) {
    const int line = tokens_.line();
    if (tokens_.take_operator("|")) {
      value = parse_filter(std::move(value));
    } else if (tokens_.take_name("is")) {
      value = parse_test(std::move(value));
    } else if (tokens_.is_operator("(")) {
      value = make_call(std::move(value), parse_arguments(), line);
    } else {
      return value;
    }
    count_part();
  }
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = tokens_.expect_any_name();
  while (tokens_.take_operator(".")) name.append(".").append(tokens_.expect_any_name());
  return name;
}

Expression ExpressionParser::parse_filter(Expression value) {
  const int line = tokens_.line();
  const std::string name = parse_dotted_name();
  auto arguments = tokens_.is_operator("(") ? parse_arguments() : CallArguments();
  return make_filter(name, std::move(value), std::move(arguments), line);
}

Expression ExpressionParser::parse_test(Expression value) {
  const int line = tokens_.line();
  const bool is_negated = tokens_.take_name("not");
  const std::string name = parse_dotted_name();
  CallArguments arguments;
  const Kind kind = tokens_.peek().kind;
  const bool begins_operand = kind == Kind::kName || kind == Kind::kString ||
                              kind == Kind::kInteger || kind == Kind::kFloat ||
                              tokens_.is_operator("[") || tokens_.is_operator("{");
  const bool goes_on = tokens_.is_name("else") || tokens_.is_name("or") || tokens_.is_name("and");
  if (tokens_.is_operator("(")) {
    arguments = parse_arguments();
  } else if (begins_operand && !goes_on) {
    if (tokens_.is_name("is")) tokens_.fail("one test alone");
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  auto test = make_test(name, std::move(value), std::move(arguments), line);
  return is_negated ? make_not(std::move(test)) : std::move(test);
}

}  // namespace prepack::jinja
