#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "prepack/chat_template.h"
#include "prepack/token.h"

namespace prepack::cli {

/// What one line may say about its own generation; the rest comes from the command line.
struct GenerationOverrides {
  std::optional<int64_t> max_new_tokens;
  std::optional<std::vector<std::string>> stop;
  std::optional<float> temperature;
  std::optional<int64_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<uint64_t> seed;
};

/// One prompt as the user gave it. Exactly one of text, ids and messages is set.
struct PromptRecord {
  std::string where;  // for errors: "prompts.jsonl, line 4", "--prompt 2"
  std::string id;     // JSON text of the "id" field, or the prompt's number, counted from 0
  std::optional<std::string> text;
  std::optional<TokenIds> ids;
  std::vector<ChatMessage> messages;
  GenerationOverrides overrides;
};

/// Reads one line of JSONL: {"prompt": "..."} or {"prompt_ids": [...]} or {"messages": [...]},
/// optionally with "id", "max_new_tokens", "stop" and sampling fields. Other fields are ignored,
/// because data files carry columns of their own.
/// @throws InvalidArgument naming `where` and the field
PromptRecord parse_prompt_line(std::string_view line, const std::string& where);

/// How a file's bad lines are dealt with: throw, or note and go on.
using BadLineHandler = std::function<void(const std::string& message)>;

/// Reads a file of prompts: .jsonl as above (blank lines are skipped), .txt with one prompt per
/// line;
/// "-" reads standard input, as JSONL if its first line begins with '{'.
/// @param number  of the next prompt in the whole job; a prompt that has no id gets it; bad lines count
/// @param on_bad_line  called with the error of each bad line; where empty, the first one is thrown
/// @throws InvalidArgument for a file that cannot be read, or is neither .jsonl nor .txt
std::vector<PromptRecord> read_prompt_file(const std::string& file, int64_t& number,
                                           const BadLineHandler& on_bad_line);

}  // namespace prepack::cli
