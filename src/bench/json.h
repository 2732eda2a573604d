#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "bench/environment.h"

namespace prepack::bench {

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

/// What a measurement depends on, by the names of the fields.
Json as_json(const Environment& environment);

/// An object's text, with one line for each of its fields, and for each element of those that are
/// lists, so that a change of a figure is a change of a line.
std::string format_lines(const Json& object);

}  // namespace prepack::bench
