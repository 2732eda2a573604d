#include "bench/json.h"
#include "bench/throughput_report.h"

namespace prepack::bench {
namespace {

Json environment_json(const ThroughputReport& report) {
  auto json = as_json(report.environment);
  json.update({
      {"seed", report.options.seed},
      {"runs", report.options.runs},
      {"method", to_string(report.options.prefill.method)},
      {"token_budget", report.options.prefill.token_budget},
  });
  return json;
}

Json as_json(const Ceilings& ceilings) {
  return {
      {"operations_per_s", ceilings.operations_per_s},
      {"num_rows", ceilings.num_rows},
      {"bytes_per_s", ceilings.bytes_per_s},
  };
}

Json as_json(const PartTimes& parts) {
  Json json = Json::object();
  for (size_t i = 0; i < kNumParts; ++i) {
    json[std::string(to_string(static_cast<Part>(i)))] = parts.seconds[i];
  }
  return json;
}

/// @param decode_steps  null for a prefill
Json work_json(const ThroughputResult& result, const TimedWork& work, const Rates& rates,
               const Json& decode_steps) {
  Json json{{"batch_size", result.batch_size}, {"prompt_tokens", result.prompt_len}};
  if (!decode_steps.is_null()) json["decode_steps"] = decode_steps;
  json.update({
      {"samples_s", work.samples_s},
      {"median_s", work.median_s()},
      {"tokens_per_s", rates.tokens_per_s},
      {"operations_per_s", rates.operations_per_s},
  });
  if (!decode_steps.is_null()) json["bytes_per_s"] = rates.bytes_per_s;
  json["seconds_by_part"] = work.parts ? as_json(*work.parts) : Json(nullptr);
  return json;
}

}  // namespace

std::string format_json(const ThroughputReport& report, const Model& model) {
  const auto& start_up = report.start_up;
  Json json{
      {"environment", environment_json(report)},
      {"start_up",
       {{"load_s", start_up.load_s},
        {"prompt_tokens", start_up.prompt_len},
        {"first_token_s", or_null(start_up.first_token_s)}}},
      {"memory",
       {{"peak_bytes", or_null(report.peak_bytes)}, {"predicted_bytes", report.predicted_bytes}}},
      {"ceilings",
       {{"products_dtype", to_string(product_dtype(model.dtype(), model.device()))},
        {"before", as_json(report.ceilings_before)},
        {"after", as_json(report.ceilings_after)}}},
      {"prefill", Json::array()},
      {"decode", Json::array()},
  };
  for (const auto& result : report.results) {
    json["prefill"].push_back(
        work_json(result, result.prefill, prefill_rates(model, result), nullptr));
    if (result.decode_steps == 0) continue;
    json["decode"].push_back(
        work_json(result, result.decode, decode_rates(model, result), result.decode_steps));
  }
  return format_lines(json);
}

}  // namespace prepack::bench
