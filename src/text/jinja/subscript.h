#pragma once

#include <string_view>

#include "text/jinja/value.h"

// What object.name and object[key] are. What is not there is undefined, and RenderError where the
// object itself is.

namespace prepack::jinja {

/// A method of the object, or what it has under the name.
Value get_attribute(const Value& object, std::string_view name);

Value get_item(const Value& object, const Value& key);

/// Python's object[start:stop:step], of which any may be none. Of a text, its characters count.
Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step);

}  // namespace prepack::jinja
