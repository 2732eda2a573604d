#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace prepack::cli {

/// Parses a line of JSONL. A NUL byte, where nlohmann would stop reading without a word, is an
/// error too.
/// @throws InvalidArgument
nlohmann::ordered_json parse_json_line(std::string_view line);

/// The JSON text of an "id".
/// @throws InvalidArgument also for a number that would be rounded: two prompts could get one id
std::string read_id(const nlohmann::ordered_json& id);

}  // namespace prepack::cli
