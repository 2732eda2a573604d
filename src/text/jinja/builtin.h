#pragma once

#include <array>
#include <span>
#include <string_view>

#include "text/jinja/value.h"

namespace prepack::jinja {

/// What is called with a value and arguments: a filter, a test, or a method of the value.
struct Builtin {
  static constexpr size_t kMaxParameters = 4;

  std::string_view name;
  std::array<std::string_view, kMaxParameters> parameters;  // by place; empty beyond the last
  size_t num_required;
  Value (*call)(const Value& value, const Arguments& arguments);
  bool takes_any = false;  // whatever the arguments, call checks them
};

/// @throws RenderError for arguments that it does not take, or lacks
Value call_builtin(const Builtin& builtin, const Value& value, const Arguments& arguments);

// Null if there is none of the name.

const Builtin* find_builtin(std::span<const Builtin> builtins, std::string_view name);
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);

/// Of a text, or a dict or sequence.
const Builtin* find_method(const Value& value, std::string_view name);

}  // namespace prepack::jinja
