#include <array>

#include "text/jinja/builtin.h"

// The tests of Jinja: value is name(argument).

namespace prepack::jinja {
namespace {

bool is_boolean(const Value& value) { return value.as<bool>() != nullptr; }
bool is_callable(const Value& value) { return value.function() != nullptr; }
bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_text(const Value& value) { return value.text() != nullptr; }
bool is_mapping(const Value& value) { return value.dict() != nullptr; }
bool is_number(const Value& value) { return value.is_number(); }
bool is_integer(const Value& value) { return value.as<int64_t>() != nullptr; }  // no boolean
bool is_float(const Value& value) { return value.as<double>() != nullptr; }
bool is_false(const Value& value) { return is_boolean(value) && !is_true(value); }
bool is_really_true(const Value& value) { return is_boolean(value) && is_true(value); }

bool is_iterable(const Value& value) {
  return is_undefined(value) || is_text(value) || value.sequence() || value.dict();
}

bool is_sequence(const Value& value) {
  const Sequence* sequence = value.sequence();
  return is_iterable(value) && !(sequence && sequence->kind == Sequence::Kind::kGenerator);
}

bool is_divisible(const Value& value, const Value& divisor) {
  const int64_t by = divisor.integer("num");
  if (by == 0) throw RenderError("a division by 0");
  return by == -1 || value.integer("what may be divisible") % by == 0;
}

bool is_even(const Value& value) { return is_divisible(value, int64_t{2}); }
bool is_odd(const Value& value) { return !is_even(value); }

/// One object, which equal texts and numbers are in practice.
bool is_same(const Value& a, const Value& b) {
  if (is_boolean(a) != is_boolean(b) || is_float(a) != is_float(b)) return false;
  if (a.sequence() || a.dict()) return a.sequence() == b.sequence() && a.dict() == b.dict();
  return equal(a, b);
}

bool is_unequal(const Value& a, const Value& b) { return !equal(a, b); }
bool is_greater(const Value& a, const Value& b) { return less(b, a); }
bool is_at_least(const Value& a, const Value& b) { return at_most(b, a); }
bool is_in(const Value& item, const Value& container) { return contains(container, item); }

template <bool (*kTest)(const Value&)>
constexpr Builtin test(std::string_view name) {
  return {name, {}, 0, [](const Value& value, const Arguments&) { return Value(kTest(value)); }};
}

template <bool (*kTest)(const Value&, const Value&)>
constexpr Builtin test(std::string_view name, std::string_view parameter = "other") {
  return {name, {parameter}, 1, [](const Value& value, const Arguments& arguments) {
            // What is named has its only name, and is named so.
            return Value(kTest(value, arguments.positional.empty() ? arguments.named[0].second
                                                                   : arguments.positional[0]));
          }};
}

constexpr std::array kTests = {
    test<is_unequal>("!="),
    test<less>("<"),
    test<at_most>("<="),
    test<equal>("=="),
    test<is_greater>(">"),
    test<is_at_least>(">="),
    test<is_boolean>("boolean"),
    test<is_callable>("callable"),
    test<is_defined>("defined"),
    test<is_divisible>("divisibleby", "num"),
    test<equal>("eq"),
    test<equal>("equalto"),
    test<is_even>("even"),
    test<is_false>("false"),
    test<is_float>("float"),
    test<is_at_least>("ge"),
    test<is_greater>("greaterthan"),
    test<is_greater>("gt"),
    test<is_in>("in", "seq"),
    test<is_integer>("integer"),
    test<is_iterable>("iterable"),
    test<at_most>("le"),
    test<less>("lessthan"),
    test<less>("lt"),
    test<is_mapping>("mapping"),
    test<is_unequal>("ne"),
    test<is_none>("none"),
    test<is_number>("number"),
    test<is_odd>("odd"),
    test<is_same>("sameas"),
    test<is_sequence>("sequence"),
    test<is_text>("string"),
    test<is_really_true>("true"),
    test<is_undefined>("undefined"),
};

}  // namespace

const Builtin* find_test(std::string_view name) { return find_builtin(kTests, name); }

}  // namespace prepack::jinja
