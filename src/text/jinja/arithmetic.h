#pragma once

#include <string_view>

#include "text/jinja/value.h"

namespace prepack::jinja {

/// Python's + - * / // % ** of numbers, + of texts or lists, and * of one with a number.
/// @throws RenderError if they have no such result, or an integer would have more than 64 bits
Value calculate(std::string_view operation, const Value& a, const Value& b);

}  // namespace prepack::jinja
