#include "bench/comparison_json.h"

#include <algorithm>
#include <map>

#include "bench/json.h"
#include "bench/statistics.h"

namespace prepack::bench {
namespace {

Json environment_json(const Environment& environment, const ComparisonOptions& options) {
  auto json = as_json(environment);
  json.update({
      {"utilisation_unit", environment.device.starts_with("cuda") ? "percent" : "cores"},
      {"seed", options.seed},
      {"runs", options.runs},
      {"packing", to_string(options.prefill.packing.algorithm)},
      {"capacity", options.prefill.capacity},
      {"token_budget", options.prefill.token_budget},
      {"final_token", to_string(options.prefill.final_token)},
      {"max_batches", options.max_batches},
      {"max_new_tokens", options.max_new_tokens},
      {"exact_caches", options.exact_caches},
  });
  return json;
}

Json data_set_json(const DataSet& data_set) {
  std::vector<int64_t> lengths;
  std::map<int64_t, int64_t> histogram;
  int64_t tokens = 0;
  for (const auto& prompt : data_set.prompts) {
    lengths.push_back(static_cast<int64_t>(prompt.size()));
    ++histogram[lengths.back()];
    tokens += lengths.back();
  }
  std::ranges::sort(lengths);
  return {
      {"name", data_set.name},
      {"num_prompts", lengths.size()},
      {"prompt_tokens", tokens},
      {"lengths",
       {{"mean", static_cast<double>(tokens) / static_cast<double>(lengths.size())},
        {"p95", lengths[(lengths.size() - 1) * 95 / 100]},
        {"max", lengths.back()},
        {"histogram",
         std::vector<std::pair<int64_t, int64_t>>(histogram.begin(), histogram.end())}}},
  };
}

Json key_json(const MethodResult& result) {
  return {
      {"dataset", result.data_set},
      {"method", to_string(result.method)},
      {"metric", to_string(result.metric)},
      {"batch_size", result.batch_size},
  };
}

Json result_json(const MethodResult& result, std::span<const MethodResult> all) {
  const auto samples = result.samples_s();
  std::vector<double> mean_use;
  std::vector<double> max_use;
  for (const auto& use : result.utilisation) {
    mean_use.push_back(use.mean);
    max_use.push_back(use.max);
  }
  const auto when_run = [&](double value) {
    return result.error.empty() ? Json(value) : Json(nullptr);
  };
  const auto when_known = [&](double value) {
    return result.utilisation.empty() ? Json(nullptr) : Json(value);
  };
  auto json = key_json(result);
  json.update({
      {"num_batches", result.batches.size()},
      {"samples_s", samples},
      {"mean_s", when_run(mean(samples))},
      {"median_s", when_run(median(samples))},
      {"std_s", when_run(standard_deviation(samples))},
      {"num_prompts", result.sum(&BatchResult::num_prompts)},
      {"prompt_tokens", result.sum(&BatchResult::prompt_tokens)},
      {"computed_tokens", result.sum(&BatchResult::computed_tokens)},
      {"peak_bytes", or_null(result.peak_bytes)},
      {"utilisation_mean", when_known(mean(mean_use))},
      {"utilisation_mean_std", when_known(standard_deviation(mean_use))},
      {"utilisation_max", when_known(mean(max_use))},
      {"utilisation_max_std", when_known(standard_deviation(max_use))},
      {"speedup", or_null(speed_up(result, all))},
      {"error", result.error.empty() ? Json(nullptr) : Json(result.error)},
  });
  return json;
}

Json batch_json(const MethodResult& result, size_t index) {
  const auto& batch = result.batches[index];
  auto json = key_json(result);
  json.update({
      {"batch", index},
      {"num_prompts", batch.num_prompts},
      {"prompt_tokens", batch.prompt_tokens},
      {"computed_tokens", batch.computed_tokens},
      {"num_rows", batch.num_rows},
      {"token_budget", batch.token_budget},
      {"longest", batch.longest},
      {"mean_len",
       static_cast<double>(batch.prompt_tokens) / static_cast<double>(batch.num_prompts)},
      {"median_s", batch.samples_s.empty() ? Json(nullptr) : Json(median(batch.samples_s))},
  });
  return json;
}

}  // namespace

std::string format_json(const Environment& environment, std::span<const DataSet> data_sets,
                        const ComparisonOptions& options, std::span<const MethodResult> results) {
  Json json{{"environment", environment_json(environment, options)},
            {"datasets", Json::array()},
            {"results", Json::array()},
            {"batches", Json::array()}};
  for (const auto& data_set : data_sets) json["datasets"].push_back(data_set_json(data_set));
  for (const auto& result : results) {
    json["results"].push_back(result_json(result, results));
    for (size_t b = 0; b < result.batches.size(); ++b) {
      json["batches"].push_back(batch_json(result, b));
    }
  }
  return format_lines(json);
}

}  // namespace prepack::bench
