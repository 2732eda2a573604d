#include "cli/measured_capacity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/environment.h"
#include "prepack/calibrate.h"

namespace prepack::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Empty if the user has no cache folder.
fs::path cache_file() {
  fs::path folder;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = fs::path(home) / ".cache";
  }
  return folder.is_absolute() ? folder / "prepack" / "capacities.json" : fs::path();
}

/// What the file holds; an empty object if it is not there or defective.
Json read_capacities(const fs::path& file) {
  std::ifstream input(file);
  auto json = Json::parse(input, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

void write_capacities(const fs::path& file, const Json& json) {
  std::error_code ignored;
  fs::create_directories(file.parent_path(), ignored);
  // Programs that write at the same time each have a file of their own, and the last one stays.
  auto partial = file;
  partial += fmt::format(".{}", getpid());
  if (std::ofstream output(partial); output << json.dump(1) << "\n" << std::flush) {
    fs::rename(partial, file, ignored);
  } else {
    fs::remove(partial, ignored);
  }
}

/// All that the fastest capacity may depend on.
std::string key_of(const Job& job, const Model& model, const CalibrationRange& range) {
  const auto about = bench::describe_environment(model, folder_name(job.model_folder), job.threads);
  const auto key = fmt::format(
      "prepack {} ({}), LibTorch {}; {}, {} threads; {}, {} parameters; {} in {} on {}; prompts of "
      "{} tokens, from {} to {}",
      about.prepack, about.commit, about.torch, about.hardware, about.threads, about.model,
      about.num_parameters, to_string(job.prefill.method), about.dtype, about.device,
      range.prompt_len, range.min_capacity, range.max_capacity);
  // A folder's name may be any bytes; the file is UTF-8.
  return Json::parse(Json(key).dump(-1, ' ', false, Json::error_handler_t::replace));
}

/// The lengths are rounded, so that jobs that are nearly alike share a measurement.
CalibrationRange range_for(const Job& job) {
  int64_t tokens = 0;
  for (const auto& prompt : job.prompts) {
    tokens += static_cast<int64_t>(prompt.request.prompt_ids.size());
  }
  const auto num_prompts = std::max<int64_t>(std::ssize(job.prompts), 1);
  const auto mean_length = static_cast<uint64_t>(std::max<int64_t>(tokens / num_prompts, 2));
  const auto longest = static_cast<uint64_t>(std::max<int64_t>(longest_prompt(job), 256));
  const int64_t budget = job.prefill.token_budget;
  return {.prompt_len = static_cast<int64_t>(std::bit_floor(mean_length)),
          .min_capacity = std::min(static_cast<int64_t>(std::bit_ceil(longest)), budget),
          .max_capacity = budget};
}

}  // namespace

void choose_capacity(Job& job, const Model& model) {
  if (!job.measures_capacity) return;
  const auto range = range_for(job);
  const auto key = key_of(job, model, range);
  const auto file = cache_file();
  auto capacities = read_capacities(file);
  const auto known = capacities.find(key);
  if (known != capacities.end() && known->is_number_integer() && *known >= range.min_capacity &&
      *known <= range.max_capacity) {
    job.prefill.capacity = *known;
    return;
  }
  job.prefill.capacity = measure_fastest_capacity(model, job.prefill.method, range);
  if (file.empty()) return;
  capacities = read_capacities(file);  // other programs may have written meanwhile
  capacities[key] = job.prefill.capacity;
  write_capacities(file, capacities);
}

}  // namespace prepack::cli
