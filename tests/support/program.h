#pragma once

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace prepack::testing {

using Json = nlohmann::json;

inline const std::string kModel =
    std::string(PREPACK_SOURCE_DIR) + "/tests/data/models/llama-grouped";

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Runs the program through a shell, so that `arguments` may redirect.
/// @param cache  the user's cache folder; by default one that is gone afterwards
inline Outcome run(const std::string& arguments, const std::string& input = "",
                   std::filesystem::path cache = {}) {
  const TempDir folder;
  const auto path = folder.path();
  write_file(path / "in", input);
  if (cache.empty()) cache = path / "cache";
  const auto command =
      fmt::format("PREPACK_MODEL= XDG_CACHE_HOME='{}' '{}' {} <'{}' >'{}' 2>'{}'", cache.string(),
                  PREPACK_PROGRAM, arguments, (path / "in").string(), (path / "out").string(),
                  (path / "err").string());
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), read_file(path / "out"), read_file(path / "err")};
}

inline Outcome run_with_model(const std::string& command, const std::string& arguments,
                              const std::string& input = "",
                              const std::filesystem::path& cache = {}) {
  return run(fmt::format("{} --model '{}' {}", command, kModel, arguments), input, cache);
}

inline std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

inline size_t num_lines(const std::string& text) { return std::ranges::count(text, '\n'); }

inline const std::string kTwelvePrompts = [] {
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    lines += fmt::format("{{\"prompt\": \"Prompt number {}{}\"}}\n", i, std::string(i * 3, '!'));
  }
  return lines;
}();

}  // namespace prepack::testing
