#include "text/jinja/arithmetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace prepack::jinja {
namespace {

[[noreturn]] void fail_overflow() { throw RenderError("an integer is too large"); }

int64_t multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) fail_overflow();
  return product;
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if (exponent % 2 != 0) result = multiply(result, base);
    exponent /= 2;
    if (exponent > 0) base = multiply(base, base);
  }
  return result;
}

/// Rounded down, as Python does.
int64_t divide_down(int64_t a, int64_t b) {
  if (b == 0) throw RenderError("a division by 0");
  if (b == -1) return multiply(a, b);
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

Value calculate_integers(std::string_view operation, int64_t a, int64_t b) {
  int64_t result = 0;
  if (operation == "+") {
    if (__builtin_add_overflow(a, b, &result)) fail_overflow();
    return result;
  }
  if (operation == "-") {
    if (__builtin_sub_overflow(a, b, &result)) fail_overflow();
    return result;
  }
  if (operation == "*") return multiply(a, b);
  if (operation == "//") return divide_down(a, b);
  if (operation == "%") return b == -1 ? int64_t{0} : a - divide_down(a, b) * b;
  return power(a, b);
}

double divide_down(double a, double b) {
  const double rest = std::fmod(a, b);
  const double quotient = (a - rest) / b;
  return std::round(rest != 0 && (rest < 0) != (b < 0) ? quotient - 1 : quotient);
}

Value calculate_numbers(std::string_view operation, double a, double b) {
  if (operation == "+") return a + b;
  if (operation == "-") return a - b;
  if (operation == "*") return a * b;
  if (operation == "**") {
    const double power = std::pow(a, b);
    if (!std::isfinite(power)) throw RenderError("a power is no number, or too large");
    return power;
  }
  if (b == 0) throw RenderError("a division by 0");
  if (operation == "/") return a / b;
  if (operation == "//") return divide_down(a, b);
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/// How often something of this size is repeated.
size_t count_repeats(int64_t times, size_t size, size_t max_size) {
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (size > 0 && count > max_size / size) throw RenderError("what is repeated is too long");
  return size > 0 ? count : 0;
}

/// A text or list, some times.
std::optional<Value> repeat(const Value& value, const Value& times) {
  if (!times.is_integer()) return std::nullopt;
  if (const auto* text = value.text()) {
    std::string repeated;
    const size_t count = count_repeats(times.integer(""), text->size(), kMaxTextBytes);
    for (size_t i = 0; i < count; ++i) repeated += *text;
    return repeated;
  }
  const Sequence* sequence = value.sequence();
  if (!sequence || !sequence->is_listed()) return std::nullopt;
  std::vector<Value> repeated;
  const auto& items = sequence->items;
  const size_t count = count_repeats(times.integer(""), items.size(), kMaxItems);
  for (size_t i = 0; i < count; ++i) repeated.insert(repeated.end(), items.begin(), items.end());
  return Value(std::move(repeated), sequence->kind);
}

std::optional<Value> join(const Value& a, const Value& b) {
  const auto* text = a.text();
  const auto* other_text = b.text();
  if (text && other_text) return *text + *other_text;
  const Sequence* sequence = a.sequence();
  const Sequence* other = b.sequence();
  if (!sequence || !other || sequence->kind != other->kind || !sequence->is_listed()) {
    return std::nullopt;
  }
  std::vector<Value> items = sequence->items;
  items.insert(items.end(), other->items.begin(), other->items.end());
  return Value(std::move(items), sequence->kind);
}

}  // namespace

Value calculate(std::string_view operation, const Value& a, const Value& b) {
  const bool is_real =
      operation == "/" || (operation == "**" && b.is_integer() && b.integer("") < 0);
  if (a.is_integer() && b.is_integer() && !is_real) {
    return calculate_integers(operation, a.integer(""), b.integer(""));
  }
  if (a.is_number() && b.is_number())
    return calculate_numbers(operation, a.number(""), b.number(""));
  std::optional<Value> result;
  if (operation == "+") result = join(a, b);
  if (operation == "*") result = repeat(a, b);
  if (operation == "*" && !result) result = repeat(b, a);
  if (result) return *result;
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined()) fail_type("an operand", *value);
  }
  throw RenderError(fmt::format("{} {} {} has no result", type_name(a), operation, type_name(b)));
}

}  // namespace prepack::jinja
