#include "cli/result_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/json_line.h"
#include "prepack/error.h"

namespace prepack::cli {

using Json = nlohmann::ordered_json;

namespace {

/// How a prompt's line begins: the id comes first.
std::string line_beginning(const PreparedPrompt& prompt) {
  return fmt::format("{{\"id\":{},\"prompt\":", prompt.id);
}

Json parse_or_null(std::string_view line) {
  try {
    return parse_json_line(line);
  } catch (const InvalidArgument&) {
    return nullptr;
  }
}

}  // namespace

std::string result_line(const PreparedPrompt& prompt, const GenerationResult& result) {
  const Json line{
      {"id", Json::parse(prompt.id)},
      {"prompt", prompt.text},
      {"text", result.text},
      {"token_ids", result.token_ids},
      {"finish_reason", to_string(result.finish_reason)},
      {"prompt_tokens", prompt.request.prompt_ids.size()},
  };
  return line.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

FinishedResults read_finished_results(const std::filesystem::path& file,
                                      std::span<const PreparedPrompt> prompts) {
  FinishedResults finished;
  if (!std::filesystem::exists(file)) return finished;
  std::ifstream input(file, std::ios::binary);
  if (!input) throw Error(fmt::format("{}: {}", file.string(), std::strerror(errno)));
  for (std::string line; std::getline(input, line);) {
    const auto fail = [&](std::string_view why) {
      throw InvalidArgument(
          fmt::format("{}, line {}: {}", file.string(), finished.num_prompts + 1, why));
    };
    if (finished.num_prompts == prompts.size()) fail("the job has no prompt for this result");
    const auto& prompt = prompts[finished.num_prompts];
    if (input.eof()) {  // no line end: the write was cut off
      const auto beginning = line_beginning(prompt).substr(0, line.size());
      if (!line.starts_with(beginning)) fail("not a result of this job, so it cannot be resumed");
      break;
    }
    const auto json = parse_or_null(line);
    if (!json.is_object() || !json.contains("id") || !json.contains("prompt")) {
      fail("not a result, so the job cannot be resumed");
    }
    if (json["id"].dump() != prompt.id || json["prompt"] != prompt.text) {
      fail("the result of another job: its id or prompt differs from this job's");
    }
    ++finished.num_prompts;
    finished.num_bytes += static_cast<int64_t>(line.size()) + 1;
  }
  if (input.bad()) throw Error(fmt::format("{}: cannot be read to its end", file.string()));
  return finished;
}

}  // namespace prepack::cli
