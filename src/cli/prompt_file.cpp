#include "cli/prompt_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "cli/json_line.h"
#include "prepack/error.h"

namespace prepack::cli {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& where, std::string_view what) {
  throw InvalidArgument(fmt::format("{}: {}", where, what));
}

/// Runs `read`, and names the line where it throws.
template <typename Read>
auto naming(const std::string& where, const Read& read) {
  try {
    return read();
  } catch (const InvalidArgument& error) {
    fail(where, error.what());
  }
}

std::string read_string(const Json& value, const std::string& where, std::string_view field) {
  if (!value.is_string()) fail(where, fmt::format("\"{}\": expected a string", field));
  return value.get<std::string>();
}

int64_t read_integer(const Json& value, const std::string& where, std::string_view field) {
  // An unsigned number beyond int64 would wrap round.
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})) {
    fail(where, fmt::format("\"{}\": expected a whole number", field));
  }
  return value.get<int64_t>();
}

float read_float(const Json& value, const std::string& where, std::string_view field) {
  if (!value.is_number()) fail(where, fmt::format("\"{}\": expected a number", field));
  const double number = value.get<double>();
  if (std::abs(number) > std::numeric_limits<float>::max()) {
    fail(where, fmt::format("\"{}\": the number is too large", field));
  }
  return static_cast<float>(number);
}

TokenIds read_ids(const Json& value, const std::string& where) {
  if (!value.is_array()) fail(where, "\"prompt_ids\": expected an array of token ids");
  TokenIds ids;
  for (const auto& element : value) {
    const int64_t id = read_integer(element, where, "prompt_ids");
    if (id < 0 || id > std::numeric_limits<TokenId>::max()) {
      fail(where, fmt::format("\"prompt_ids\": {} is not a token id", id));
    }
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

std::vector<ChatMessage> read_messages(const Json& value, const std::string& where) {
  if (!value.is_array() || value.empty()) {
    fail(where, "\"messages\": expected an array of at least one {\"role\", \"content\"}");
  }
  std::vector<ChatMessage> messages;
  for (const auto& element : value) {
    if (!element.is_object() || !element.contains("role") || !element.contains("content")) {
      fail(where, "\"messages\": expected objects with \"role\" and \"content\"");
    }
    messages.push_back({read_string(element["role"], where, "role"),
                        read_string(element["content"], where, "content")});
  }
  return messages;
}

std::vector<std::string> read_stop(const Json& value, const std::string& where) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) fail(where, "\"stop\": expected a string or an array of strings");
  std::vector<std::string> stop;
  for (const auto& element : value) stop.push_back(read_string(element, where, "stop"));
  return stop;
}

GenerationOverrides read_overrides(const Json& line, const std::string& where) {
  GenerationOverrides overrides;
  const auto with = [&](const char* field, const auto& read) {
    if (const auto found = line.find(field); found != line.end() && !found->is_null()) {
      read(*found);
    }
  };
  const auto read_number_to = [&](const char* field, std::optional<float>& target) {
    with(field, [&](const Json& value) { target = read_float(value, where, field); });
  };
  with("max_new_tokens", [&](const Json& value) {
    overrides.max_new_tokens = read_integer(value, where, "max_new_tokens");
  });
  with("stop", [&](const Json& value) { overrides.stop = read_stop(value, where); });
  with("top_k", [&](const Json& value) { overrides.top_k = read_integer(value, where, "top_k"); });
  with("seed", [&](const Json& value) {
    if (!value.is_number_unsigned()) fail(where, "\"seed\": expected a whole number, 0 or more");
    overrides.seed = value.get<uint64_t>();
  });
  read_number_to("temperature", overrides.temperature);
  read_number_to("top_p", overrides.top_p);
  read_number_to("min_p", overrides.min_p);
  read_number_to("repetition_penalty", overrides.repetition_penalty);
  return overrides;
}

PromptRecord text_record(std::string text, const std::string& where) {
  PromptRecord record;
  record.where = where;
  record.text = std::move(text);
  return record;
}

/// The line without what editors and other systems leave at its ends.
std::string_view trim_line(std::string_view line, bool first) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (first && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

enum class Format { kJsonl, kText, kByFirstLine };

Format format_of(const std::string& file) {
  if (file == "-") return Format::kByFirstLine;
  const auto extension = std::filesystem::path(file).extension();
  if (extension == ".jsonl") return Format::kJsonl;
  if (extension == ".txt") return Format::kText;
  throw InvalidArgument(
      fmt::format("{}: expected a file of prompts that ends in .jsonl or .txt", file));
}

std::vector<PromptRecord> read_lines(std::istream& input, const std::string& name, Format format,
                                     int64_t& next_number, const BadLineHandler& on_bad_line) {
  std::vector<PromptRecord> records;
  int64_t line_number = 0;
  for (std::string buffer; std::getline(input, buffer);) {
    const auto line = trim_line(buffer, ++line_number == 1);
    if (format == Format::kByFirstLine) {
      if (is_blank(line)) continue;
      format = line.find_first_not_of(" \t") == line.find('{') ? Format::kJsonl : Format::kText;
    }
    if (format == Format::kJsonl && is_blank(line)) continue;
    const auto where = fmt::format("{}, line {}", name, line_number);
    const int64_t number = next_number++;
    try {
      records.push_back(format == Format::kJsonl ? parse_prompt_line(line, where)
                                                 : text_record(std::string(line), where));
      if (records.back().id.empty()) records.back().id = std::to_string(number);
    } catch (const InvalidArgument& error) {
      if (!on_bad_line) throw;
      on_bad_line(error.what());
    }
  }
  if (input.bad()) throw InvalidArgument(fmt::format("{}: cannot be read to its end", name));
  return records;
}

}  // namespace

PromptRecord parse_prompt_line(std::string_view line, const std::string& where) {
  const auto json = naming(where, [&] { return parse_json_line(line); });
  if (!json.is_object()) fail(where, "expected a JSON object");
  const int num_prompts =
      static_cast<int>(json.count("prompt") + json.count("prompt_ids") + json.count("messages"));
  if (num_prompts != 1) {
    fail(where, fmt::format("expected one of \"prompt\", \"prompt_ids\" and \"messages\", got {}",
                            num_prompts == 0 ? "none" : "several"));
  }
  PromptRecord record;
  record.where = where;
  if (json.contains("prompt")) record.text = read_string(json["prompt"], where, "prompt");
  if (json.contains("prompt_ids")) record.ids = read_ids(json["prompt_ids"], where);
  if (json.contains("messages")) record.messages = read_messages(json["messages"], where);
  if (const auto id = json.find("id"); id != json.end() && !id->is_null()) {
    record.id = naming(where, [&] { return read_id(*id); });
  }
  record.overrides = read_overrides(json, where);
  return record;
}

std::vector<PromptRecord> read_prompt_file(const std::string& file, int64_t& number,
                                           const BadLineHandler& on_bad_line) {
  const auto format = format_of(file);
  if (file == "-") {
    auto records = read_lines(std::cin, "standard input", format, number, on_bad_line);
    if (std::ferror(stdin) != 0) {  // which std::cin takes for the end
      throw InvalidArgument(fmt::format("standard input: {}", std::strerror(errno)));
    }
    return records;
  }
  if (std::filesystem::is_directory(file)) {
    throw InvalidArgument(fmt::format("{}: is a folder, not a file of prompts", file));
  }
  std::ifstream input(file, std::ios::binary);
  if (!input) throw InvalidArgument(fmt::format("{}: {}", file, std::strerror(errno)));
  return read_lines(input, file, format, number, on_bad_line);
}

}  // namespace prepack::cli
