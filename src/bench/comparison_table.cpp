#include "bench/comparison_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/statistics.h"

namespace prepack::bench {
namespace {

std::string_view describe(Metric metric) {
  switch (metric) {
    case Metric::kPrefill:
      return "prefill time, without the final tokens";
    case Metric::kTtft:
      return "time to first token";
    case Metric::kGenerate:
      break;
  }
  return "time to generate";
}

/// Mean and spread of one side of the samples of utilisation.
struct Spread {
  double mean = 0;
  double deviation = 0;
};

Spread spread_of(const std::vector<Utilisation>& samples, double Utilisation::*side) {
  std::vector<double> values;
  for (const auto& sample : samples) values.push_back(sample.*side);
  return {mean(values), standard_deviation(values)};
}

std::string megabytes(const std::optional<int64_t>& bytes) {
  return bytes ? fmt::format("{:.0f}", 1e-6 * static_cast<double>(*bytes)) : "-";
}

std::string table_row(const MethodResult& result, std::span<const MethodResult> all) {
  if (!result.error.empty())
    return fmt::format("  {:<15} {}\n", to_string(result.method), result.error);
  const auto samples = result.samples_s();
  const auto mean_use = spread_of(result.utilisation, &Utilisation::mean);
  const auto max_use = spread_of(result.utilisation, &Utilisation::max);
  const auto faster = speed_up(result, all);
  return fmt::format(
      "  {:<15} {:>10.3f} {:>8.3f} {:>8.3f} {:>10.3f} {:>10} {:>6.2f} {:>6.2f} {:>6.2f} {:>6.2f} {:>9}\n",
      to_string(result.method), mean(samples), standard_deviation(samples), median(samples),
      1e3 * result.seconds_per_prompt_token(), megabytes(result.peak_bytes), mean_use.mean,
      mean_use.deviation, max_use.mean, max_use.deviation,
      faster ? fmt::format("{:.2f}x", *faster) : "-");
}

bool same_contest(const MethodResult& a, const MethodResult& b) {
  return a.data_set == b.data_set && a.batch_size == b.batch_size && a.metric == b.metric;
}

std::string heading(const MethodResult& first, const Model& model) {
  return fmt::format(
      "{}, batch size {}: {}\n"
      "  {:<15} {:>10} {:>8} {:>8} {:>10} {:>10} {:>13} {:>13} {:>9}\n"
      "  {:<15} {:>10} {:>8} {:>8} {:>10} {:>10} {:>6} {:>6} {:>6} {:>6} {:>9}\n",
      first.data_set, first.batch_size, describe(first.metric), "method", "s/batch", "std",
      "median", "ms per", "peak MB", model.device().is_cpu() ? "cores busy" : "busy %", "most busy",
      "speed-up", "", "mean", "", "", "of prompt", "", "mean", "std", "mean", "std", "");
}

std::string field(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

/// Quoted where it needs to be. (RFC 4180)
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string result = "\"";
  for (char c : text) result += c == '"' ? "\"\"" : std::string(1, c);
  return result + "\"";
}

}  // namespace

std::string format_table(std::span<const MethodResult> results, const Model& model) {
  std::string text;
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 0 || !same_contest(results[i - 1], results[i])) {
      if (i > 0) text += "\n";
      text += heading(results[i], model);
    }
    text += table_row(results[i], results);
  }
  return text;
}

std::string format_csv(std::span<const MethodResult> results) {
  std::string text =
      "dataset,method,metric,batch_size,num_batches,mean_s,median_s,std_s,prompt_tokens,"
      "computed_tokens,peak_bytes,utilisation_mean,utilisation_max,speedup,error,samples_s\n";
  for (const auto& result : results) {
    const bool ran = result.error.empty();
    const auto samples = result.samples_s();
    const auto when_run = [&](double value) {
      return field(ran ? std::optional<double>(value) : std::nullopt);
    };
    text += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.6g}\n", quoted(result.data_set),
        to_string(result.method), to_string(result.metric), result.batch_size,
        result.batches.size(), when_run(mean(samples)), when_run(median(samples)),
        when_run(standard_deviation(samples)), result.sum(&BatchResult::prompt_tokens),
        result.sum(&BatchResult::computed_tokens),
        result.peak_bytes ? std::to_string(*result.peak_bytes) : "",
        when_run(spread_of(result.utilisation, &Utilisation::mean).mean),
        when_run(spread_of(result.utilisation, &Utilisation::max).mean),
        field(speed_up(result, results)), quoted(result.error), fmt::join(samples, ";"));
  }
  return text;
}

}  // namespace prepack::bench
