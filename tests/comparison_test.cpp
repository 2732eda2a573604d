#include "bench/comparison.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>
#include <vector>

#include "bench/comparison_json.h"
#include "bench/comparison_table.h"
#include "prepack/error.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace prepack::bench {
namespace {

using testing::Random;

const std::vector<ComparedMethod> kMethods = {
    ComparedMethod::kPacked, ComparedMethod::kPackedRows, ComparedMethod::kPadded,
    ComparedMethod::kLengthOrdered, ComparedMethod::kDatasetPacked};

Model tiny_model() { return testing::random_model(testing::tiny_configs().front()); }

DataSet tiny_data_set() {
  Random random(1);
  return {"tiny", random.prompts(random.integers(20, 1, 30), 61)};
}

ComparisonOptions tiny_options() {
  ComparisonOptions options;
  options.methods = kMethods;
  options.metrics = {Metric::kPrefill, Metric::kTtft, Metric::kGenerate};
  options.batch_sizes = {4, 8};
  options.runs = 2;
  options.max_new_tokens = 3;
  options.prefill.token_budget = 0;
  return options;
}

int64_t tokens_of(const DataSet& data_set) {
  int64_t tokens = 0;
  for (const auto& prompt : data_set.prompts) tokens += static_cast<int64_t>(prompt.size());
  return tokens;
}

TEST_CASE("every method is timed on every batch in every run", "[comparison]") {
  const auto data_set = tiny_data_set();
  const auto results = compare(tiny_model(), {&data_set, 1}, tiny_options());
  REQUIRE(results.size() == 5 * 3 * 2);
  for (const auto& result : results) {
    CAPTURE(to_string(result.method), to_string(result.metric), result.batch_size);
    CHECK(result.data_set == "tiny");
    CHECK(result.error.empty());
    int64_t prompts = 0;
    int64_t tokens = 0;
    for (const auto& batch : result.batches) {
      REQUIRE(batch.samples_s.size() == 2);
      CHECK(*std::ranges::min_element(batch.samples_s) > 0);
      CHECK(batch.num_rows > 0);
      prompts += batch.num_prompts;
      tokens += batch.prompt_tokens;
    }
    CHECK(prompts == 20);
    CHECK(tokens == tokens_of(data_set));
    CHECK(result.utilisation.size() == 2 * result.batches.size());
    CHECK(result.samples_s().size() == result.utilisation.size());
    if (result.method != ComparedMethod::kDatasetPacked) {
      CHECK(static_cast<int64_t>(result.batches.size()) ==
            20 / result.batch_size + (result.batch_size == 8));
    }
  }
}

TEST_CASE("padded methods compute the padding, packed ones the prompts alone", "[comparison]") {
  const auto data_set = tiny_data_set();
  auto options = tiny_options();
  options.metrics = {Metric::kTtft, Metric::kPrefill};
  for (const auto& result : compare(tiny_model(), {&data_set, 1}, options)) {
    CAPTURE(to_string(result.method), to_string(result.metric), result.batch_size);
    for (const auto& batch : result.batches) {
      const int64_t left_out = result.metric == Metric::kPrefill ? batch.num_prompts : 0;
      if (prefill_method(result.method) == PrefillMethod::kPacked) {
        CHECK(batch.computed_tokens == batch.prompt_tokens - left_out);
      } else if (prefill_method(result.method) == PrefillMethod::kPadded && left_out == 0) {
        CHECK(batch.computed_tokens == batch.num_prompts * batch.longest);
      }
    }
  }
}

TEST_CASE("a method that memory does not suffice for says so, and the rest go on", "[comparison]") {
  const auto model = tiny_model();
  Random random(2);
  std::vector<int64_t> lengths(32, 1);
  lengths[5] = 120;
  const DataSet data_set{"uneven", random.prompts(lengths, 61)};
  auto options = tiny_options();
  options.methods = {ComparedMethod::kPadded, ComparedMethod::kPacked};
  options.metrics = {Metric::kTtft};
  options.batch_sizes = {32};
  // Between what the two need: 32 rows of 120 tokens, against 151 tokens.
  const auto needed = [&](ComparedMethod method) {
    const PrefillOptions prefill{.method = prefill_method(method),
                                 .token_budget = 1 << 20,
                                 .padded_cache = method == ComparedMethod::kPadded};
    return estimate_memory(model.config(), model.dtype(), at::kCPU,
                           batch_shape(lengths, plan_prefill(lengths, prefill), prefill,
                                       Metric::kTtft, 1, at::kCPU))
        .total();
  };
  const int64_t padded_bytes = needed(ComparedMethod::kPadded);
  const int64_t packed_bytes = needed(ComparedMethod::kPacked);
  REQUIRE(padded_bytes > packed_bytes + 1000);
  options.memory_limit = (padded_bytes + packed_bytes) / 2;
  const auto results = compare(model, {&data_set, 1}, options);
  REQUIRE(results.size() == 2);
  CHECK_THAT(results[0].error, ContainsSubstring("out of memory: needs about"));
  CHECK(results[0].samples_s().empty());
  CHECK_FALSE(results[0].peak_bytes.has_value());
  CHECK(results[1].error.empty());
  CHECK(results[1].samples_s().size() == 2);
  CHECK_FALSE(speed_up(results[1], results).has_value());
  CHECK_THAT(format_table(results, model), ContainsSubstring("out of memory"));
}

TEST_CASE("speed-up compares seconds per prompt token with padded batching", "[comparison]") {
  const auto result = [](ComparedMethod method, int64_t tokens, std::vector<double> samples) {
    MethodResult made;
    made.method = method;
    made.batches.push_back({.prompt_tokens = tokens, .samples_s = std::move(samples)});
    return made;
  };
  const std::vector<MethodResult> all = {result(ComparedMethod::kPacked, 200, {1, 1}),
                                         result(ComparedMethod::kPadded, 100, {3, 1}),
                                         result(ComparedMethod::kLengthOrdered, 100, {})};
  CHECK(speed_up(all[0], all) == 4.0);
  CHECK(speed_up(all[1], all) == 1.0);
  CHECK_FALSE(speed_up(all[2], all).has_value());
  CHECK_FALSE(speed_up(all[0], {all.data(), 1}).has_value());
}

TEST_CASE("some batches of each method are timed where so many are asked for", "[comparison]") {
  const auto data_set = tiny_data_set();
  auto options = tiny_options();
  options.metrics = {Metric::kTtft};
  options.batch_sizes = {2};
  options.max_batches = 3;
  for (const auto& result : compare(tiny_model(), {&data_set, 1}, options)) {
    CHECK(result.batches.size() == 3);
  }
}

TEST_CASE("progress never goes back and ends before one", "[comparison]") {
  const auto data_set = tiny_data_set();
  double last = -1;
  size_t num_results = 0;
  const auto on_progress = [&](double done) {
    REQUIRE(done > last);
    REQUIRE(done < 1);
    last = done;
  };
  const auto on_results = [&](std::span<const MethodResult> results) {
    REQUIRE(results.size() == num_results + 5);
    num_results = results.size();
  };
  compare(tiny_model(), {&data_set, 1}, tiny_options(),
          {.on_progress = on_progress, .on_results = on_results});
  CHECK(last > 0.9);
  CHECK(num_results == 5 * 3 * 2);
}

TEST_CASE("the report holds every result, batch and data set", "[comparison]") {
  const auto model = tiny_model();
  const auto data_set = tiny_data_set();
  const auto options = tiny_options();
  const auto results = compare(model, {&data_set, 1}, options);
  const auto json = nlohmann::json::parse(
      format_json(describe_environment(model, "tiny", 2), {&data_set, 1}, options, results));
  CHECK(json["environment"]["dtype"] == "float32");
  CHECK(json["environment"]["threads"] == 2);
  CHECK(json["environment"]["commit"].get<std::string>().size() > 3);
  CHECK(json["datasets"][0]["prompt_tokens"] == tokens_of(data_set));
  int64_t counted = 0;
  for (const auto& pair : json["datasets"][0]["lengths"]["histogram"]) {
    counted += pair[1].get<int64_t>();
  }
  CHECK(counted == 20);
  REQUIRE(json["results"].size() == results.size());
  size_t num_batches = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    const auto& row = json["results"][i];
    CHECK(row["method"] == to_string(results[i].method));
    CHECK(row["samples_s"].size() == results[i].samples_s().size());
    CHECK(row["error"].is_null());
    CHECK(row["speedup"].get<double>() > 0);
    num_batches += row["num_batches"].get<size_t>();
  }
  CHECK(json["batches"].size() == num_batches);
  const auto csv = format_csv(results);
  CHECK(std::ranges::count(csv, '\n') == static_cast<int64_t>(results.size()) + 1);
}

TEST_CASE("an empty data set is refused by name", "[comparison]") {
  const DataSet empty{"nothing", {}};
  CHECK_THROWS_WITH(compare(tiny_model(), {&empty, 1}, tiny_options()),
                    ContainsSubstring("data set nothing: has no prompts"));
}

TEST_CASE("metrics are parsed by name", "[comparison]") {
  for (auto metric : {Metric::kPrefill, Metric::kTtft, Metric::kGenerate}) {
    CHECK(parse_metric(to_string(metric)) == metric);
  }
  CHECK_THROWS_AS(parse_metric("latency"), InvalidArgument);
}

TEST_CASE("the peak of memory counts what is taken and given back", "[resource_monitor]") {
  constexpr int64_t kBytes = int64_t{64} << 20;
  const PeakMemoryMeter meter(at::kCPU);
  {
    std::vector<char> block(kBytes, 1);
    CHECK(std::reduce(block.begin(), block.begin() + 10, 0) == 10);
  }
  if (!meter.peak_bytes()) {
    WARN("this system does not let a process reset its peak of memory");
    return;
  }
  CHECK(*meter.peak_bytes() > kBytes - (kBytes >> 4));  // the kernel counts in batches of pages
  CHECK(*meter.peak_bytes() < 2 * kBytes);
  const PeakMemoryMeter later(at::kCPU);
  CHECK(later.peak_bytes() < kBytes / 2);
}

TEST_CASE("a busy core counts as busy, and a sleeping one does not", "[resource_monitor]") {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  UtilisationMonitor idle(at::kCPU);
  std::this_thread::sleep_for(milliseconds(200));
  const auto asleep = idle.stop().value();
  CHECK(asleep.mean < 0.5);
  UtilisationMonitor monitor(at::kCPU);
  volatile double sink = 0;
  for (const auto end = steady_clock::now() + milliseconds(400); steady_clock::now() < end;) {
    sink = sink + std::sqrt(sink + 1);
  }
  const auto busy = monitor.stop().value();
  CHECK(busy.mean > asleep.mean);
  CHECK(busy.max >= 0.9 * busy.mean);
}

}  // namespace
}  // namespace prepack::bench
