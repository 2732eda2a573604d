#pragma once

#include <string_view>

namespace prepack::jinja {

/// Python's str.strip and its halves: white space, and the separators U+001C to U+001F.
std::string_view strip(std::string_view text);
std::string_view strip_begin(std::string_view text);
std::string_view strip_end(std::string_view text);

/// Those with an argument: any of its characters.
std::string_view strip_begin(std::string_view text, std::string_view characters);
std::string_view strip_end(std::string_view text, std::string_view characters);

}  // namespace prepack::jinja
