#include "weights/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "prepack/error.h"

namespace prepack {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxPrintedLength = 200;

/// nlohmann's messages begin with "[json.exception.parse_error.101] ".
std::string_view without_exception_id(std::string_view message) {
  const auto end = message.find("] ");
  return end == std::string_view::npos ? message : message.substr(end + 2);
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& source) {
  using Json = nlohmann::json;
  if (text.find('\0') != std::string_view::npos) {
    throw LoadError(fmt::format("{}: not valid JSON: it contains a NUL byte", source));
  }
  std::vector<std::unordered_set<std::string>> keys;  // of each object that is still open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) {
      throw LoadError(fmt::format("{}: JSON nested over {} levels deep", source, kMaxDepth));
    }
    switch (event) {
      case Json::parse_event_t::object_start:
        keys.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        keys.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        if (!keys.back().insert(key).second) {
          throw LoadError(fmt::format("{}: the key {} appears twice", source, printable(key)));
        }
        break;
      }
      default:
        break;
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    throw LoadError(fmt::format("{}: not valid JSON: {}", source,
                                printable(without_exception_id(error.what()))));
  }
}

nlohmann::json read_json_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {  // an ifstream would open it and read nothing
    throw LoadError(fmt::format("{}: expected a file, got a folder", path.string()));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw LoadError(fmt::format("{}: {}", path.string(), std::strerror(errno)));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw LoadError(fmt::format("{}: cannot be read", path.string()));
  return parse_json(text, path.string());
}

std::string describe(const nlohmann::json& value) {
  switch (value.type()) {
    case nlohmann::json::value_t::object:
      return "an object";
    case nlohmann::json::value_t::array:
      return "a list";
    case nlohmann::json::value_t::string:
      return fmt::format("\"{}\"", printable(value.get_ref<const std::string&>()));
    default:
      return value.dump();
  }
}

std::string printable(std::string_view text) {
  const bool too_long = text.size() > kMaxPrintedLength;
  if (too_long) {
    text = text.substr(0, kMaxPrintedLength);
    // A cut must not leave the first bytes of a UTF-8 character behind.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0) {
      const bool is_lead = (static_cast<unsigned char>(text.back()) & 0x40) != 0;
      text.remove_suffix(1);
      if (is_lead) break;
    }
  }
  std::string result(text);
  std::replace_if(
      result.begin(), result.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return too_long ? result + "..." : result;
}

}  // namespace prepack
