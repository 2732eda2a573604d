#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace prepack {

/// The number beside `wanted` in a file of lines "key number unit"; 0 if there is none.
int64_t read_field(const std::filesystem::path& path, std::string_view wanted);

}  // namespace prepack
