#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "text/tokenizer_json.h"

namespace prepack::testing {

inline const std::filesystem::path kTokenizerData =
    std::filesystem::path(PREPACK_SOURCE_DIR) / "tests" / "data" / "tokenizers";

/// A tokenizer.json that works, to be broken by the tests.
inline nlohmann::json small_tokenizer() {
  return {{"model",
           {{"type", "BPE"},
            {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"c", 3}}},
            {"merges", nlohmann::json::array({"a b"})}}},
          {"added_tokens",
           nlohmann::json::array({{{"id", 4}, {"content", "<s>"}, {"normalized", false}}})}};
}

inline std::unique_ptr<Tokenizer> parse(const nlohmann::json& tokenizer) {
  return text::parse_tokenizer_json(tokenizer.dump(), "x/tokenizer.json");
}

inline std::string load_error(const nlohmann::json& tokenizer) {
  try {
    parse(tokenizer);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace prepack::testing
