#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

// Python's methods of texts that filters have too.

namespace prepack::jinja {

/// At most `count` of them, from the left; all if it is negative.
std::string replace(std::string_view text, std::string_view old_part, std::string_view new_part,
                    int64_t count);

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

/// Each value's text.
std::string join_values(const std::vector<Value>& values, std::string_view separator);

}  // namespace prepack::jinja
