#include "cli/json_line.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "prepack/error.h"

namespace prepack::cli {

using Json = nlohmann::ordered_json;

namespace {

/// Whether the number has no more digits than are kept: others of that kind are other numbers.
bool is_distinct(double number) {
  const auto digits = fmt::format("{:.{}g}", number, std::numeric_limits<double>::digits10);
  return std::abs(number) < 1e15 && std::strtod(digits.c_str(), nullptr) == number;
}

}  // namespace

Json parse_json_line(std::string_view line) {
  if (line.find('\0') != std::string_view::npos) {
    throw InvalidArgument("not valid JSON: it contains a NUL byte");
  }
  try {
    return Json::parse(line);
  } catch (const Json::out_of_range&) {  // what it holds is JSON
    throw InvalidArgument("a number is too large");
  } catch (const Json::exception&) {
    throw InvalidArgument("not valid JSON");
  }
}

std::string read_id(const Json& id) {
  if (!id.is_string() && !id.is_number()) {
    throw InvalidArgument("\"id\": expected a string or a number");
  }
  if (id.is_number_float() && !is_distinct(id.get<double>())) {
    throw InvalidArgument("\"id\": the number would be rounded: write it as a string");
  }
  return id.dump();
}

}  // namespace prepack::cli
