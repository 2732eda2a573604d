#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace prepack::jinja {

/// @throws RenderError beyond kMaxTextBytes: sequences may share parts, so that a small one may
///         have much text
void append_text(std::string& out, std::string_view part);

/// Python's str(value), which is how templates write values: a text as it is, 'a text' in a list.
/// @throws RenderError for what has no such text, as functions
std::string write_value(const Value& value);

struct JsonStyle {
  std::optional<int64_t> indent;  // spaces; absent: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ascii_only = false;
  bool sort_keys = false;
};

/// Python's json.dumps, which transformers puts in place of Jinja's filter tojson.
std::string write_json(const Value& value, const JsonStyle& style);

/// Python's repr of a float: the shortest that reads back, and never an integer.
std::string write_float(double number);

}  // namespace prepack::jinja
