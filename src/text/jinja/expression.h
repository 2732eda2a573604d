#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/context.h"
#include "text/jinja/value.h"

namespace prepack::jinja {

/// What computes a value where a template is rendered; throws RenderError. Empty: not given.
using Expression = std::function<Value(Context&)>;

Expression make_literal(Value value);
Expression make_name(std::string name);
Expression make_sequence(Sequence::Kind kind, std::vector<Expression> items);
Expression make_dict(std::vector<std::pair<Expression, Expression>> items);

/// object.name
Expression make_attribute(Expression object, std::string name);

/// object[key]
Expression make_item(Expression object, Expression key);

/// object[start:stop:step], of which any may be empty
Expression make_slice(Expression object, Expression start, Expression stop, Expression step);

struct CallArguments {
  std::vector<Expression> positional;
  std::vector<std::pair<std::string, Expression>> named;
};
Expression make_call(Expression function, CallArguments arguments, int line);

/// value | name(arguments). One that there is not is an error only where it is evaluated, as what
/// no conversation reaches of a template does not matter.
Expression make_filter(std::string_view name, Expression value, CallArguments arguments, int line);

/// value is name(arguments), likewise
Expression make_test(std::string_view name, Expression value, CallArguments arguments, int line);

Expression make_not(Expression value);
Expression make_sign(bool is_minus, Expression value);

/// + - * / // % ** ~
Expression make_arithmetic(std::string operation, Expression a, Expression b);

/// a < b <= c is two comparisons. The operators: == != < > <= >= in, and "not in".
using Comparison = std::pair<std::string, Expression>;
Expression make_comparison(Expression first, std::vector<Comparison> comparisons);

/// Python's, which are one of their operands.
Expression make_or(Expression a, Expression b);
Expression make_and(Expression a, Expression b);

/// value if condition else otherwise, which may be empty
Expression make_choice(Expression condition, Expression value, Expression otherwise);

}  // namespace prepack::jinja
