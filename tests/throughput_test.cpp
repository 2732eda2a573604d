#include "bench/throughput.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/stopwatch.h"
#include "bench/process_age.h"
#include "bench/throughput_report.h"
#include "bench/useful_work.h"
#include "prepack/error.h"
#include "support/catch.h"
#include "support/tiny_model.h"

namespace prepack::bench {
namespace {

Model tiny_model() { return testing::random_model(testing::tiny_configs().front()); }

ThroughputOptions tiny_options() {
  return {.batch_sizes = {2, 1}, .prompt_lens = {5, 3}, .decode_steps = 4, .runs = 2};
}

/// Results that are known, of 2 prompts of 5 tokens and 4 decode steps.
ThroughputReport known_report(const Model& model) {
  ThroughputReport report;
  report.environment = describe_environment(model, "tiny", 2);
  report.start_up = {.load_s = 0.5, .prompt_len = 3, .first_token_s = 0.75};
  report.ceilings_before = {.operations_per_s = 4e12, .num_rows = 512, .bytes_per_s = 1e9};
  report.ceilings_after = {.operations_per_s = 2e12, .num_rows = 1024, .bytes_per_s = 2e9};
  report.predicted_bytes = 3'000'000;
  report.options = tiny_options();
  ThroughputResult result{.batch_size = 2, .prompt_len = 5, .decode_steps = 4};
  result.prefill.samples_s = {0.5, 0.25, 4};
  result.decode.samples_s = {2, 1, 3};
  report.results = {result};
  return report;
}

TEST_CASE("every batch size is timed with every prompt length in every run", "[throughput]") {
  const auto results = measure_throughput(tiny_model(), tiny_options());
  REQUIRE(results.size() == 4);
  for (size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].batch_size == (i < 2 ? 2 : 1));
    CHECK(results[i].prompt_len == (i % 2 == 0 ? 5 : 3));
    for (const auto* work : {&results[i].prefill, &results[i].decode}) {
      REQUIRE(work->samples_s.size() == 2);
      CHECK(work->min_s() > 0);
      CHECK(work->min_s() <= work->median_s());
      CHECK(work->median_s() <= work->max_s());
      CHECK_FALSE(work->parts.has_value());
    }
  }
}

TEST_CASE("nothing is decoded where no steps are asked for", "[throughput]") {
  auto options = tiny_options();
  options.decode_steps = 0;
  for (const auto& result : measure_throughput(tiny_model(), options)) {
    CHECK(result.prefill.samples_s.size() == 2);
    CHECK(result.decode.samples_s.empty());
  }
}

TEST_CASE("the profiles of a measurement add up to its samples", "[throughput]") {
  auto options = tiny_options();
  options.profiles = true;
  options.runs = 5;
  options.decode_steps = 20;
  for (const auto& result : measure_throughput(tiny_model(), options)) {
    for (const auto* work : {&result.prefill, &result.decode}) {
      double seconds = 0;
      for (double sample : work->samples_s) seconds += sample;
      REQUIRE(work->parts.has_value());
      // The profiler runs from just before the stopwatch to just after it.
      CHECK(work->parts->total() >= seconds);
      CHECK(work->parts->total() < seconds + 0.05);
      CHECK(work->parts->of(Part::kAttention) > 0);
    }
    CHECK(result.prefill.parts->of(Part::kSampling) == 0);
    CHECK(result.decode.parts->of(Part::kSampling) > 0);
  }
}

TEST_CASE("progress of throughput never goes back and ends before one", "[throughput]") {
  double last = -1;
  int64_t calls = 0;
  measure_throughput(tiny_model(), tiny_options(), [&](double done) {
    REQUIRE(done > last);
    REQUIRE(done < 1);
    last = done;
    ++calls;
  });
  CHECK(last > 0.5);
  CHECK(calls == 4 * (2 + 1));
}

TEST_CASE("prompts are random, inside the vocabulary, and the same again", "[throughput]") {
  const auto config = testing::tiny_configs().front();
  const auto prompts = throughput_prompts(config, 3, 100, 1);
  REQUIRE(prompts.size() == 3);
  for (const auto& prompt : prompts) {
    CHECK(prompt.size() == 100);
    CHECK_FALSE(find_prompt_defect(config, prompt).has_value());
    CHECK(std::ranges::max(prompt) > config.vocab_size / 2);
  }
  CHECK(prompts[0] != prompts[1]);
  CHECK(prompts == throughput_prompts(config, 3, 100, 1));
  CHECK(prompts != throughput_prompts(config, 3, 100, 2));
  CHECK(prompts[0] == throughput_prompts(config, 1, 100, 1)[0]);
}

TEST_CASE("rates are the useful work of the median second", "[throughput]") {
  const auto model = tiny_model();
  const auto result = known_report(model).results.front();
  const auto& config = model.config();
  const std::vector<int64_t> lengths = {5, 5};
  const auto prefill = prefill_rates(model, result);
  CHECK(prefill.tokens_per_s == 20);  // 10 in half a second
  CHECK(prefill.operations_per_s == prefill_operations(config, lengths) / 0.5);
  const auto decode = decode_rates(model, result);
  CHECK(decode.tokens_per_s == 4);  // 8 in two seconds
  CHECK(decode.operations_per_s == decode_operations(config, lengths, 4) / 2);
  CHECK(decode.bytes_per_s ==
        decode_bytes(config, DType::kFloat32, model.step_weight_bytes(), lengths, 4) / 2);
}

TEST_CASE("measurements that cannot be are refused", "[throughput]") {
  const auto refused = [](auto change, const char* message) {
    auto options = tiny_options();
    change(options);
    CHECK_THROWS_WITH(measure_throughput(tiny_model(), options), ContainsSubstring(message));
  };
  refused([](auto& o) { o.batch_sizes.clear(); }, "expected batch sizes");
  refused([](auto& o) { o.prompt_lens.clear(); }, "expected batch sizes");
  refused([](auto& o) { o.batch_sizes = {1, 0}; }, "expected batch sizes");
  refused([](auto& o) { o.prompt_lens = {0, 1}; }, "expected batch sizes");
  refused([](auto& o) { o.runs = 0; }, "expected batch sizes");
  refused([](auto& o) { o.decode_steps = -1; }, "expected batch sizes");
  refused([](auto& o) { o.prompt_lens = {125}; }, "of 129 tokens, more than the model's");
}

TEST_CASE("the table compares rates with the better ceilings", "[throughput]") {
  const auto model = tiny_model();
  auto report = known_report(model);
  const auto operations = prefill_rates(model, report.results[0]).operations_per_s;
  report.ceilings_after.operations_per_s = 2 * operations;
  report.ceilings_before.operations_per_s = operations;
  report.ceilings_before.bytes_per_s = 8 * decode_rates(model, report.results[0]).bytes_per_s;
  report.ceilings_after.bytes_per_s = 1;
  const auto table = format_table(report, model);
  CHECK_THAT(table, ContainsSubstring("50.0 %\n"));    // of the products
  CHECK_THAT(table, ContainsSubstring(" 12.5 % "));    // of the memory
  CHECK_THAT(table, ContainsSubstring("0.25 to 4"));   // seconds
  CHECK_THAT(table, ContainsSubstring("250 to 750"));  // ms of a step
  CHECK_THAT(table, ContainsSubstring("with 1024 rows"));
  CHECK_THAT(table, ContainsSubstring("unknown at the peak, 3 MB predicted"));
  CHECK_THAT(table, !ContainsSubstring("where the time of"));
}

TEST_CASE("the table shows each part's percentage of the time of all runs", "[throughput]") {
  const auto model = tiny_model();
  auto report = known_report(model);
  report.options.profiles = true;
  for (auto* work : {&report.results[0].prefill, &report.results[0].decode}) {
    work->parts.emplace();
    work->parts->seconds[static_cast<size_t>(Part::kAttention)] = 3;
    work->parts->seconds[static_cast<size_t>(Part::kRest)] = 1;
  }
  const auto table = format_table(report, model);
  CHECK_THAT(table, ContainsSubstring("where the time of prefill goes"));
  CHECK_THAT(table, ContainsSubstring("where the time of decode goes"));
  CHECK_THAT(table, ContainsSubstring("attention                 75.0\n"));
  CHECK_THAT(table, ContainsSubstring("rest                      25.0\n"));
  CHECK_THAT(table, ContainsSubstring("seconds of all runs      4.000\n"));
}

TEST_CASE("the report holds every measurement", "[throughput]") {
  const auto model = tiny_model();
  auto report = known_report(model);
  report.results[0].prefill.parts.emplace().seconds[static_cast<size_t>(Part::kNorm)] = 0.125;
  const auto json = nlohmann::json::parse(format_json(report, model));
  CHECK(json["environment"]["model"] == "tiny");
  CHECK(json["environment"]["runs"] == 2);
  CHECK(json["start_up"]["load_s"] == 0.5);
  CHECK(json["start_up"]["first_token_s"] == 0.75);
  CHECK(json["start_up"]["prompt_tokens"] == 3);
  CHECK(json["memory"]["peak_bytes"].is_null());
  CHECK(json["memory"]["predicted_bytes"] == 3'000'000);
  CHECK(json["ceilings"]["products_dtype"] == "float32");
  CHECK(json["ceilings"]["before"]["operations_per_s"] == 4e12);
  CHECK(json["ceilings"]["after"]["num_rows"] == 1024);
  CHECK(json["ceilings"]["after"]["bytes_per_s"] == 2e9);
  REQUIRE(json["prefill"].size() == 1);
  const auto& prefill = json["prefill"][0];
  CHECK(prefill["batch_size"] == 2);
  CHECK(prefill["prompt_tokens"] == 5);
  CHECK(prefill["samples_s"] == nlohmann::json({0.5, 0.25, 4.0}));
  CHECK(prefill["median_s"] == 0.5);
  CHECK(prefill["tokens_per_s"] == 20);
  CHECK(prefill["operations_per_s"] == prefill_rates(model, report.results[0]).operations_per_s);
  CHECK(prefill["seconds_by_part"]["norm"] == 0.125);
  CHECK(prefill["seconds_by_part"].size() == kNumParts);
  REQUIRE(json["decode"].size() == 1);
  const auto& decode = json["decode"][0];
  CHECK(decode["decode_steps"] == 4);
  CHECK(decode["tokens_per_s"] == 4);
  CHECK(decode["bytes_per_s"] == decode_rates(model, report.results[0]).bytes_per_s);
  CHECK(decode["seconds_by_part"].is_null());

  report.results[0].decode_steps = 0;
  CHECK(nlohmann::json::parse(format_json(report, model))["decode"].empty());
}

TEST_CASE("the age of the process grows with time", "[throughput]") {
  const Stopwatch longer;
  const auto before = process_age_s();
  if (!before) {
    WARN("/proc does not say when the process began");
    return;
  }
  CHECK(*before >= -0.02);  // the system counts in hundredths
  const Stopwatch shorter;
  while (shorter.seconds() < 0.1) {
  }
  const double grown = *process_age_s() - *before;
  CHECK(grown >= 0.1);
  CHECK(grown <= longer.seconds());
}

}  // namespace
}  // namespace prepack::bench
