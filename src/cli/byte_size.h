#pragma once

#include <cstdint>
#include <string>

namespace prepack::cli {

/// "1.5 GB", "820 MB": powers of 1000.
std::string format_bytes(int64_t bytes);

/// Reads "1.5GB", "800 MB", "1GiB" or a number of bytes.
/// @throws InvalidArgument
int64_t parse_bytes(const std::string& text);

}  // namespace prepack::cli
