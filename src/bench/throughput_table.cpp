#include <fmt/format.h>

#include "bench/throughput_report.h"

namespace prepack::bench {
namespace {

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;

std::string heading(const ThroughputReport& report) {
  const auto& environment = report.environment;
  return fmt::format("{}, {:.1f} million parameters, {} on {}, {} threads: {}\n", environment.model,
                     1e-6 * static_cast<double>(environment.num_parameters), environment.dtype,
                     environment.device, environment.threads, environment.hardware);
}

std::string describe(const StartUp& start_up) {
  const auto first = start_up.first_token_s
                         ? fmt::format(
                               "; first token of a prompt of {} tokens {:.2f} s after the "
                               "program's start",
                               start_up.prompt_len, *start_up.first_token_s)
                         : std::string();
  return fmt::format("start-up  {:.2f} s to load the model{}\n", start_up.load_s, first);
}

std::string describe_ceilings(const ThroughputReport& report, const Model& model) {
  const auto& before = report.ceilings_before;
  const auto& after = report.ceilings_after;
  const auto best = best_of(before, after);
  return fmt::format(
      "ceilings  products {:.3f} TFLOP/s in {} with {} rows (before {:.3f}, after {:.3f})\n"
      "          memory {:.1f} GB/s (before {:.1f}, after {:.1f})\n",
      best.operations_per_s / kTera, to_string(product_dtype(model.dtype(), model.device())),
      best.num_rows, before.operations_per_s / kTera, after.operations_per_s / kTera,
      best.bytes_per_s / kGiga, before.bytes_per_s / kGiga, after.bytes_per_s / kGiga);
}

std::string spread(const TimedWork& work, double scale) {
  return fmt::format("{:.4g} to {:.4g}", scale * work.min_s(), scale * work.max_s());
}

std::string percent(double value, double ceiling) {
  return fmt::format("{:.1f} %", 100 * value / ceiling);
}

std::string prefill_table(const ThroughputReport& report, const Model& model,
                          const Ceilings& ceilings) {
  auto text = fmt::format(
      "\nprefill: median of {} runs, useful work\n"
      "{:>7} {:>7} {:>10} {:>20} {:>11} {:>9} {:>12}\n",
      report.options.runs, "batch", "prompt", "seconds", "min to max", "tokens/s", "TFLOP/s",
      "of products");
  for (const auto& result : report.results) {
    const auto rates = prefill_rates(model, result);
    text += fmt::format(
        "{:>7} {:>7} {:>10.4g} {:>20} {:>11.1f} {:>9.3f} {:>12}\n", result.batch_size,
        result.prompt_len, result.prefill.median_s(), spread(result.prefill, 1), rates.tokens_per_s,
        rates.operations_per_s / kTera, percent(rates.operations_per_s, ceilings.operations_per_s));
  }
  return text;
}

std::string decode_table(const ThroughputReport& report, const Model& model,
                         const Ceilings& ceilings) {
  auto text = fmt::format(
      "\ndecode: {} steps after each prompt, median of {} runs, useful work\n"
      "{:>7} {:>7} {:>10} {:>20} {:>11} {:>9} {:>12} {:>9} {:>12}\n",
      report.options.decode_steps, report.options.runs, "batch", "prompt", "ms/step", "min to max",
      "tokens/s", "GB/s", "of memory", "TFLOP/s", "of products");
  for (const auto& result : report.results) {
    const auto rates = decode_rates(model, result);
    const double to_ms = 1e3 / static_cast<double>(result.decode_steps);
    text += fmt::format("{:>7} {:>7} {:>10.4g} {:>20} {:>11.1f} {:>9.2f} {:>12} {:>9.3f} {:>12}\n",
                        result.batch_size, result.prompt_len, to_ms * result.decode.median_s(),
                        spread(result.decode, to_ms), rates.tokens_per_s, rates.bytes_per_s / kGiga,
                        percent(rates.bytes_per_s, ceilings.bytes_per_s),
                        rates.operations_per_s / kTera,
                        percent(rates.operations_per_s, ceilings.operations_per_s));
  }
  return text;
}

/// A column for each measurement, in percent of its time.
std::string profile_table(const ThroughputReport& report, TimedWork ThroughputResult::*work,
                          std::string_view name) {
  auto text =
      fmt::format("\nwhere the time of {} goes, in percent\n{:<22}", name, "  batch size x prompt");
  for (const auto& result : report.results) {
    text += fmt::format(" {:>9}", fmt::format("{} x {}", result.batch_size, result.prompt_len));
  }
  for (size_t i = 0; i < kNumParts; ++i) {
    const auto part = static_cast<Part>(i);
    text += fmt::format("\n  {:<20}", to_string(part));
    for (const auto& result : report.results) {
      const auto& parts = *(result.*work).parts;
      text += fmt::format(" {:>9.1f}", 100 * parts.of(part) / parts.total());
    }
  }
  text += fmt::format("\n  {:<20}", "seconds of all runs");
  for (const auto& result : report.results) {
    text += fmt::format(" {:>9.3f}", (result.*work).parts->total());
  }
  return text + "\n";
}

std::string describe_memory(const ThroughputReport& report) {
  const auto megabytes = [](int64_t bytes) {
    return fmt::format("{:.0f} MB", 1e-6 * static_cast<double>(bytes));
  };
  return fmt::format("\nmemory    {} at the peak, {} predicted\n",
                     report.peak_bytes ? megabytes(*report.peak_bytes) : "unknown",
                     megabytes(report.predicted_bytes));
}

}  // namespace

std::string format_table(const ThroughputReport& report, const Model& model) {
  const auto ceilings = best_of(report.ceilings_before, report.ceilings_after);
  const bool decodes = report.options.decode_steps > 0;
  auto text = heading(report) + describe(report.start_up) + describe_ceilings(report, model) +
              prefill_table(report, model, ceilings);
  if (decodes) text += decode_table(report, model, ceilings);
  if (report.options.profiles) {
    text += profile_table(report, &ThroughputResult::prefill, "prefill");
    if (decodes) text += profile_table(report, &ThroughputResult::decode, "decode");
  }
  return text + describe_memory(report);
}

}  // namespace prepack::bench
