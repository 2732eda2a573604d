#include "cli/result_file.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "prepack/error.h"

namespace prepack::cli {

using Json = nlohmann::ordered_json;

std::string result_line(const PreparedPrompt& prompt, const GenerationResult& result) {
  const Json line{
      {"id", Json::parse(prompt.id)},
      {"prompt", prompt.text},
      {"text", result.text},
      {"token_ids", result.token_ids},
      {"finish_reason", to_string(result.finish_reason)},
      {"prompt_tokens", prompt.ids.size()},
  };
  return line.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

FinishedResults read_finished_results(const std::filesystem::path& file,
                                      std::span<const PreparedPrompt> prompts) {
  FinishedResults finished;
  std::ifstream input(file, std::ios::binary);
  for (std::string line; std::getline(input, line);) {
    if (input.eof()) break;  // no line end: the write was cut off
    const auto where = fmt::format("{}, line {}", file.string(), finished.num_prompts + 1);
    const auto json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("id") || !json.contains("prompt")) {
      throw InvalidArgument(fmt::format("{}: not a result, so the job cannot be resumed", where));
    }
    const bool same = finished.num_prompts < prompts.size() &&
                      json["id"].dump() == prompts[finished.num_prompts].id &&
                      json["prompt"] == prompts[finished.num_prompts].text;
    if (!same) {
      throw InvalidArgument(
          fmt::format("{}: the result of another job: its id or prompt differs from this job's",
                      where));
    }
    ++finished.num_prompts;
    finished.num_bytes += static_cast<int64_t>(line.size()) + 1;
  }
  return finished;
}

}  // namespace prepack::cli
