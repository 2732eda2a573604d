#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::text {

/// A tokenizer.json as read. The vocabulary and the merges, nearly all of the file, lie in one
/// buffer instead of hundreds of thousands of JSON values.
struct TokenizerFile {
  struct VocabularyEntry {
    uint32_t offset;
    uint32_t length;
    int64_t id;
  };
  struct MergeEntry {
    uint32_t offset;  // of the left piece; the right one follows it
    uint32_t left_length;
    uint32_t right_length;
  };

  std::string bytes;
  std::vector<VocabularyEntry> vocabulary;
  std::vector<MergeEntry> merges;
  nlohmann::json
      rest;  // everything else; "vocab" and "merges" are empty there if they were read above

  std::string_view text(size_t offset, size_t length) const {
    return std::string_view(bytes).substr(offset, length);
  }
};

/// @param name  of the file, for messages
/// @throws LoadError if `json` is not JSON, or its vocabulary or merges are malformed
TokenizerFile read_tokenizer_file(std::string_view json, const std::string& name);

/// The bytes of a file. @throws LoadError
std::string read_file(const std::filesystem::path& path);

/// A small JSON file. @throws LoadError
nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace prepack::text
