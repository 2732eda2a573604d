#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace prepack {

/// Parses JSON from a file that nobody vouches for. Stricter than nlohmann::json::parse: a repeated
/// key (where readers disagree about which one counts), nesting over 64 levels and NUL bytes (where
/// nlohmann stops reading without a word) are errors too.
/// @param source  names the text in errors
/// @throws LoadError
nlohmann::json parse_json(std::string_view text, const std::string& source);

/// The same for a whole file.
/// @throws LoadError also if it cannot be read
nlohmann::json read_json_file(const std::filesystem::path& path);

/// A value as an error message shows it: scalars as they are, others by their kind.
std::string describe(const nlohmann::json& value);

/// Text from a file, made fit for a message of one line: no control characters, not too long.
std::string printable(std::string_view text);

}  // namespace prepack
