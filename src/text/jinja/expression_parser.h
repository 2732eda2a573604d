#pragma once

#include "text/jinja/expression.h"
#include "text/jinja/token_reader.h"

namespace prepack::jinja {

/// Reads expressions, in the order of precedence of Jinja's own parser.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenReader& tokens) : tokens_(tokens) {}

  // All throw LoadError.

  /// a if b else c
  Expression parse_expression();

  /// Without that `if`, which may mean something else behind.
  Expression parse_or();

  /// One, or a tuple of several with commas between.
  Expression parse_tuple(bool with_choices = true);

 private:
  class Counter;

  Expression parse_and();
  Expression parse_not();
  Expression parse_comparison();
  Expression parse_sum();
  Expression parse_concatenation();
  Expression parse_product();
  Expression parse_power();
  Expression parse_unary(bool with_filters = true);
  Expression parse_primary();
  Expression parse_bracketed();
  Expression parse_dict();
  Expression parse_literal();

  Expression parse_postfix(Expression value);
  Expression parse_filters(Expression value);
  Expression parse_filter(Expression value);
  Expression parse_test(Expression value);
  Expression parse_attribute(Expression object);
  Expression parse_subscript(Expression object);
  CallArguments parse_arguments();
  std::string parse_dotted_name();

  bool ends_tuple() const;
  void count_part();

  TokenReader& tokens_;
  int num_open_ = 0;   // expressions that this one is a part of
  int num_parts_ = 0;  // of the outermost of them
};

}  // namespace prepack::jinja
