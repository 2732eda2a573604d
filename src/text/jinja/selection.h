#pragma once

#include "text/jinja/value.h"

// The filters that apply others, or tests, to each item.

namespace prepack::jinja {

/// map('filter', arguments...) or map(attribute='path', default=...)
Value map_items(const Value& value, const Arguments& arguments);

/// select('test', arguments...), of which none means that items are true; reject is the opposite.
Value select_items(const Value& value, const Arguments& arguments);
Value reject_items(const Value& value, const Arguments& arguments);

/// selectattr('path', 'test', arguments...)
Value select_by_attribute(const Value& value, const Arguments& arguments);
Value reject_by_attribute(const Value& value, const Arguments& arguments);

/// What lies at "a.b.0" in an item, or at an integer.
Value get_path(const Value& item, const Value& path);

}  // namespace prepack::jinja
