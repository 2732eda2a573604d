#include <algorithm>
#include <numeric>

#include "prepack/error.h"
#include "prepack/packed_batch.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using testing::Random;
using Bins = std::vector<std::vector<int64_t>>;

constexpr PrefillMethod kMethods[] = {PrefillMethod::kPacked, PrefillMethod::kPackedRows,
                                      PrefillMethod::kPadded};

struct Instance {
  std::vector<int64_t> lengths;
  PrefillOptions options;
};

/// Every method and packing, with budgets from the longest prompt's length upwards.
std::vector<Instance> random_instances(int count) {
  Random random(count);
  std::vector<Instance> instances;
  for (int i = 0; i < count; ++i) {
    Instance instance;
    instance.lengths = random.integers(random.integer(1, 30), 1, random.integer(1, 60));
    const int64_t longest = *std::ranges::max_element(instance.lengths);
    instance.options = {
        .method = kMethods[random.integer(0, 2)],
        .packing = random.integer(0, 1) == 0 ? PackingAlgorithm::kBestFitDecreasing
                                             : PackingAlgorithm::kFirstFitDecreasing,
        .token_budget = longest + random.integer(0, 4) * random.integer(0, longest),
    };
    instances.push_back(instance);
  }
  return instances;
}

BatchLayout layout_of(PrefillMethod method) {
  if (method == PrefillMethod::kPacked) return BatchLayout::kFlat;
  return method == PrefillMethod::kPackedRows ? BatchLayout::kRows : BatchLayout::kLeftPaddedRows;
}

/// The batches that a plan leads to.
std::vector<PackedBatch> batches_of(const PrefillPlan& plan, const std::vector<int64_t>& lengths) {
  const auto prompts = Random(1).prompts(lengths, 10);
  std::vector<PackedBatch> batches;
  for (const auto& forward : plan.forwards) {
    batches.push_back(make_packed_batch(prompts, forward.bins, layout_of(plan.method)));
  }
  return batches;
}

int64_t total(const std::vector<int64_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
}

TEST_CASE("every prompt is in exactly one forward", "[prefill_plan]") {
  for (const auto& [lengths, options] : random_instances(2000)) {
    std::vector<int> times(lengths.size(), 0);
    for (const auto& forward : plan_prefill(lengths, options).forwards) {
      REQUIRE_FALSE(forward.bins.empty());
      for (const auto& bin : forward.bins) {
        for (int64_t sequence : bin) ++times.at(sequence);
      }
    }
    REQUIRE(times == std::vector<int>(lengths.size(), 1));
  }
}

TEST_CASE("no forward computes more tokens than the budget, padding included", "[prefill_plan]") {
  for (const auto& [lengths, options] : random_instances(2001)) {
    const auto plan = plan_prefill(lengths, options);
    REQUIRE(plan.max_forward_tokens <= options.token_budget);
    for (const auto& batch : batches_of(plan, lengths)) {
      REQUIRE(batch.input_ids.numel() <= options.token_budget);
    }
  }
}

TEST_CASE("the plan's counts are those of the batches it leads to", "[prefill_plan]") {
  for (const auto& [lengths, options] : random_instances(2002)) {
    const auto plan = plan_prefill(lengths, options);
    int64_t computed_tokens = 0;
    int64_t num_rows = 0;
    int64_t max_forward_tokens = 0;
    int64_t max_mask_elements = 0;
    int64_t max_row_len = 0;
    for (const auto& batch : batches_of(plan, lengths)) {
      computed_tokens += batch.input_ids.numel();
      num_rows += batch.num_rows();
      max_forward_tokens = std::max(max_forward_tokens, batch.input_ids.numel());
      if (options.method == PrefillMethod::kPacked) continue;
      max_row_len = std::max(max_row_len, batch.row_len());
      if (batch.has_whole_rows()) continue;
      max_mask_elements = std::max(max_mask_elements, independent_mask(batch.segment_ids).numel());
    }
    REQUIRE(plan.method == options.method);
    REQUIRE(plan.prompt_tokens == total(lengths));
    REQUIRE(plan.computed_tokens == computed_tokens);
    REQUIRE(plan.num_rows == num_rows);
    REQUIRE(plan.max_forward_tokens == max_forward_tokens);
    REQUIRE(plan.max_mask_elements == max_mask_elements);
    REQUIRE(plan.max_row_len == max_row_len);
  }
}

TEST_CASE("packed forwards have one row each, no padding and no mask", "[prefill_plan]") {
  for (auto [lengths, options] : random_instances(2003)) {
    options.method = PrefillMethod::kPacked;
    const auto plan = plan_prefill(lengths, options);
    REQUIRE(plan.computed_tokens == total(lengths));
    REQUIRE(plan.max_mask_elements == 0);
    Bins bins;
    for (const auto& forward : plan.forwards) {
      REQUIRE(forward.bins.size() == 1);
      bins.push_back(forward.bins[0]);
    }
    REQUIRE(bins == pack(lengths, options.token_budget, options.packing).bins);
  }
}

TEST_CASE("a plan says whether it has the fewest bins possible", "[prefill_plan]") {
  const std::vector<int64_t> lengths = {6, 6, 6};  // no two fit one bin of ten
  PrefillOptions options{.method = PrefillMethod::kPacked, .token_budget = 10};
  CHECK(plan_prefill(lengths, options).optimality == Optimality::kProved);
  options.method = PrefillMethod::kPadded;
  CHECK(plan_prefill(lengths, options).optimality == Optimality::kUnknown);
}

TEST_CASE("options of the packing reach the bins", "[prefill_plan]") {
  const std::vector<int64_t> lengths = {6, 1, 1, 1, 1};
  PrefillOptions options{.method = PrefillMethod::kPacked, .token_budget = 20};
  options.packing.max_segments = 3;
  const auto plan = plan_prefill(lengths, options);
  CHECK(plan.forwards.size() == 2);
  for (const auto& forward : plan.forwards) CHECK(forward.bins[0].size() <= 3);
}

TEST_CASE("the cost of a prefill is that of its products and of its attention", "[prefill_plan]") {
  ModelConfig config;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_layers = 3;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 2;
  const auto cost = prefill_cost(config);
  CHECK(cost.linear == 2.0 * 3 * (8 * 8 + 8 * 4 + 8 * 4 + 8 * 8 + 3 * 8 * 12));
  CHECK(cost.quadratic == 2.0 * 3 * 4 * 2);
}

TEST_CASE("bins have the capacity that is asked for", "[prefill_plan]") {
  for (auto [lengths, options] : random_instances(2005)) {
    const int64_t longest = *std::ranges::max_element(lengths);
    options.capacity = (longest + options.token_budget) / 2;
    for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows}) {
      options.method = method;
      const auto plan = plan_prefill(lengths, options);
      Bins bins;
      for (const auto& forward : plan.forwards) {
        bins.insert(bins.end(), forward.bins.begin(), forward.bins.end());
      }
      REQUIRE(bins == pack(lengths, options.capacity, options.packing).bins);
      REQUIRE(plan.max_forward_tokens <= options.token_budget);
    }
  }
}

TEST_CASE("a capacity outside the longest prompt and the budget is refused", "[prefill_plan]") {
  const std::vector<int64_t> lengths = {3, 8};
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows}) {
    for (int64_t capacity : {int64_t{-1}, int64_t{7}, int64_t{21}}) {
      const PrefillOptions options{.method = method, .token_budget = 20, .capacity = capacity};
      CHECK_THROWS_AS(plan_prefill(lengths, options), InvalidArgument);
      CHECK_THROWS_WITH(plan_prefill(lengths, options), ContainsSubstring("expected 8"));
    }
  }
}

TEST_CASE("packed rows are the bins of a plan whose capacity is the longest prompt",
          "[prefill_plan]") {
  for (auto [lengths, options] : random_instances(2004)) {
    options.method = PrefillMethod::kPackedRows;
    const auto plan = plan_prefill(lengths, options);
    const int64_t longest = *std::ranges::max_element(lengths);
    Bins bins;
    for (size_t f = 0; f < plan.forwards.size(); ++f) {
      const auto& rows = plan.forwards[f].bins;
      bins.insert(bins.end(), rows.begin(), rows.end());
      // Every forward but the last is as full as the budget allows.
      if (f + 1 == plan.forwards.size()) continue;
      REQUIRE(static_cast<int64_t>(rows.size()) == options.token_budget / longest);
    }
    REQUIRE(bins == pack(lengths, longest, options.packing).bins);
  }
}

TEST_CASE("padded forwards take consecutive prompts, as many as the budget allows",
          "[prefill_plan]") {
  for (auto [lengths, options] : random_instances(2005)) {
    options.method = PrefillMethod::kPadded;
    const auto plan = plan_prefill(lengths, options);
    int64_t next = 0;
    for (const auto& forward : plan.forwards) {
      int64_t longest = 0;
      for (const auto& bin : forward.bins) {
        REQUIRE(bin == std::vector<int64_t>{next});
        longest = std::max(longest, lengths[next++]);
      }
      if (next == static_cast<int64_t>(lengths.size())) break;
      const auto with_one_more = static_cast<int64_t>(forward.bins.size()) + 1;
      REQUIRE(with_one_more * std::max(longest, lengths[next]) > options.token_budget);
    }
    REQUIRE(next == static_cast<int64_t>(lengths.size()));
  }
}

TEST_CASE("prompts of one length cost no padding with any method", "[prefill_plan]") {
  const std::vector<int64_t> lengths(13, 7);
  for (auto method : kMethods) {
    for (int64_t budget : {7, 20, 91, 1000}) {
      const auto plan = plan_prefill(lengths, {.method = method, .token_budget = budget});
      CHECK(plan.computed_tokens == 13 * 7);
    }
  }
}

TEST_CASE("no prompts make no forwards", "[prefill_plan]") {
  for (auto method : kMethods) {
    const auto plan = plan_prefill({}, {.method = method});
    CHECK(plan.forwards.empty());
    CHECK(plan.computed_tokens == 0);
  }
}

TEST_CASE("an empty prompt is refused by its number", "[prefill_plan]") {
  const std::vector<int64_t> lengths = {3, 0, 2};
  for (auto method : kMethods) {
    CHECK_THROWS_AS(plan_prefill(lengths, {.method = method}), InvalidArgument);
    CHECK_THROWS_WITH(plan_prefill(lengths, {.method = method}),
                      ContainsSubstring("prompt 1 is empty"));
  }
}

TEST_CASE("a prompt longer than the budget is refused by its number and length", "[prefill_plan]") {
  const std::vector<int64_t> lengths = {3, 16, 17, 18};
  for (auto method : kMethods) {
    const PrefillOptions options{.method = method, .token_budget = 16};
    CHECK_THROWS_AS(plan_prefill(lengths, options), InvalidArgument);
    CHECK_THROWS_WITH(plan_prefill(lengths, options),
                      ContainsSubstring("prompt 2 has 17 tokens") && ContainsSubstring("of 16"));
  }
}

TEST_CASE("prefill methods are known by their names", "[prefill_plan]") {
  for (auto method : kMethods) CHECK(parse_prefill_method(to_string(method)) == method);
  CHECK_THROWS_AS(parse_prefill_method("batched"), InvalidArgument);
  CHECK_THROWS_WITH(parse_prefill_method("batched"), ContainsSubstring("batched"));
}

}  // namespace
}  // namespace prepack
