#include "text/jinja/expression.h"

#include <fmt/format.h>

#include "text/jinja/arithmetic.h"
#include "text/jinja/builtin.h"
#include "text/jinja/subscript.h"
#include "text/jinja/write_value.h"

namespace prepack::jinja {
namespace {

/// What every expression does before it computes its value.
template <typename Compute>
Expression make_expression(Compute compute) {
  return [compute = std::move(compute)](Context& context) -> Value {
    const Nesting nesting(context);
    context.count_step();
    return compute(context);
  };
}

Arguments evaluate_arguments(const CallArguments& arguments, Context& context) {
  Arguments values;
  for (const auto& argument : arguments.positional) values.positional.push_back(argument(context));
  for (const auto& [name, argument] : arguments.named) {
    values.named.emplace_back(name, argument(context));
  }
  return values;
}

Expression make_builtin(const Builtin& builtin, Expression value, CallArguments arguments,
                        int line) {
  return make_expression([&builtin, value = std::move(value), arguments = std::move(arguments),
                          line](Context& context) {
    const Value subject = value(context);
    const Arguments values = evaluate_arguments(arguments, context);
    context.line = line;
    return call_builtin(builtin, subject, values);
  });
}

Expression make_unsupported(std::string what, int line) {
  return make_expression([what = std::move(what), line](Context& context) -> Value {
    context.line = line;
    throw RenderError(fmt::format("{} is not supported", what));
  });
}

bool compare(std::string_view operation, const Value& a, const Value& b) {
  if (operation == "==") return equal(a, b);
  if (operation == "!=") return !equal(a, b);
  if (operation == "<") return less(a, b);
  if (operation == ">") return less(b, a);
  if (operation == "<=") return at_most(a, b);
  if (operation == ">=") return at_most(b, a);
  return contains(b, a) == (operation == "in");
}

/// The first operand if it is true (`or`) or false (`and`), else the second.
Expression make_junction(bool stops_at, Expression a, Expression b) {
  return make_expression([stops_at, a = std::move(a), b = std::move(b)](Context& context) {
    Value first = a(context);
    return is_true(first) == stops_at ? first : b(context);
  });
}

}  // namespace

Expression make_literal(Value value) {
  return make_expression([value = std::move(value)](Context&) { return value; });
}

Expression make_name(std::string name) {
  return make_expression([name = std::move(name)](Context& context) -> Value {
    const Value* value = context.scope->find(name);
    return value ? *value : Undefined{fmt::format("'{}' is undefined", name)};
  });
}

Expression make_sequence(Sequence::Kind kind, std::vector<Expression> items) {
  return make_expression([kind, items = std::move(items)](Context& context) -> Value {
    std::vector<Value> values;
    for (const auto& item : items) values.push_back(item(context));
    return {std::move(values), kind};
  });
}

Expression make_dict(std::vector<std::pair<Expression, Expression>> items) {
  return make_expression([items = std::move(items)](Context& context) -> Value {
    Dict dict;
    for (const auto& [key, value] : items) {
      Value evaluated_key = key(context);
      insert(dict, std::move(evaluated_key), value(context));
    }
    return dict;
  });
}

Expression make_attribute(Expression object, std::string name) {
  return make_expression([object = std::move(object), name = std::move(name)](Context& context) {
    return get_attribute(object(context), name);
  });
}

Expression make_item(Expression object, Expression key) {
  return make_expression([object = std::move(object), key = std::move(key)](Context& context) {
    const Value holder = object(context);
    return get_item(holder, key(context));
  });
}

Expression make_slice(Expression object, Expression start, Expression stop, Expression step) {
  return make_expression([object = std::move(object), start = std::move(start),
                          stop = std::move(stop), step = std::move(step)](Context& context) {
    const auto evaluate = [&](const Expression& end) { return end ? end(context) : None{}; };
    const Value whole = object(context);
    const Value first = evaluate(start);
    const Value last = evaluate(stop);
    return get_slice(whole, first, last, evaluate(step));
  });
}

Expression make_call(Expression function, CallArguments arguments, int line) {
  return make_expression(
      [function = std::move(function), arguments = std::move(arguments), line](Context& context) {
        const Value callee = function(context);
        const Arguments values = evaluate_arguments(arguments, context);
        context.line = line;
        if (!callee.function()) fail_type("what is called", callee);
        return (*callee.function())(values);
      });
}

Expression make_filter(std::string_view name, Expression value, CallArguments arguments, int line) {
  const Builtin* filter = find_filter(name);
  if (!filter) return make_unsupported(fmt::format("the filter {}", name), line);
  return make_builtin(*filter, std::move(value), std::move(arguments), line);
}

Expression make_test(std::string_view name, Expression value, CallArguments arguments, int line) {
  const Builtin* test = find_test(name);
  if (!test) return make_unsupported(fmt::format("the test {}", name), line);
  return make_builtin(*test, std::move(value), std::move(arguments), line);
}

Expression make_not(Expression value) {
  return make_expression(
      [value = std::move(value)](Context& context) { return !is_true(value(context)); });
}

Expression make_sign(bool is_minus, Expression value) {
  return make_expression([is_minus, value = std::move(value)](Context& context) {
    return calculate(is_minus ? "-" : "+", int64_t{0}, value(context));
  });
}

Expression make_arithmetic(std::string operation, Expression a, Expression b) {
  return make_expression([operation = std::move(operation), a = std::move(a),
                          b = std::move(b)](Context& context) -> Value {
    const Value left = a(context);
    const Value right = b(context);
    if (operation == "~") return write_value(left) + write_value(right);
    return calculate(operation, left, right);
  });
}

Expression make_comparison(Expression first, std::vector<Comparison> comparisons) {
  return make_expression(
      [first = std::move(first), comparisons = std::move(comparisons)](Context& context) -> Value {
        Value left = first(context);
        for (const auto& [operation, operand] : comparisons) {
          Value right = operand(context);
          if (!compare(operation, left, right)) return false;
          left = std::move(right);
        }
        return true;
      });
}

Expression make_or(Expression a, Expression b) {
  return make_junction(/*stops_at=*/true, std::move(a), std::move(b));
}

Expression make_and(Expression a, Expression b) {
  return make_junction(/*stops_at=*/false, std::move(a), std::move(b));
}

Expression make_choice(Expression condition, Expression value, Expression otherwise) {
  return make_expression([condition = std::move(condition), value = std::move(value),
                          otherwise = std::move(otherwise)](Context& context) -> Value {
    if (is_true(condition(context))) return value(context);
    if (otherwise) return otherwise(context);
    return Undefined{"a choice without else has no value"};
  });
}

}  // namespace prepack::jinja
