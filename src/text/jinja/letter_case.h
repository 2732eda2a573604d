#pragma once

#include <string>
#include <string_view>

// Python's methods of these names, but for the few characters that change into several ("ß").

namespace prepack::jinja {

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

/// The first character large, all others small.
std::string capitalize(std::string_view text);

}  // namespace prepack::jinja
