#include "cli/byte_size.h"

#include <fmt/format.h>

#include <cstdlib>
#include <iterator>

#include "prepack/error.h"

namespace prepack::cli {
namespace {

struct Unit {
  const char* name;
  double bytes;
};
constexpr Unit kUnits[] = {{"B", 1},           {"KB", 1e3},           {"MB", 1e6},
                           {"GB", 1e9},        {"TB", 1e12},          {"KiB", 1024.0},
                           {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"", 1}};

}  // namespace

std::string format_bytes(int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (number >= 1e9) return fmt::format("{:.2f} GB", number / 1e9);
  if (number >= 1e6) return fmt::format("{:.0f} MB", number / 1e6);
  return fmt::format("{:.0f} KB", number / 1e3);
}

int64_t parse_bytes(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit(end);
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size()
                                                                 : unit.find_first_not_of(' '));
  for (const auto& known : kUnits) {
    if (unit != known.name || end == text.c_str()) continue;
    const double bytes = number * known.bytes;
    if (bytes >= 0 && bytes < 9e18) return static_cast<int64_t>(bytes);
  }
  throw InvalidArgument(
      fmt::format("expected a size such as 800MB or 1.5GB, or auto, got {}", text));
}

}  // namespace prepack::cli
