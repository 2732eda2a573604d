// What `prepack verify` finds: nothing where the methods agree, and each kind of damage by its
// name.

#include "bench/verification.h"

#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>

#include "bench/verdict.h"
#include "prepack/packed_batch.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/varlen.h"

namespace prepack::bench {
namespace {

using testing::Random;
using testing::random_model;
using testing::tiny_configs;

constexpr int64_t kCapacity = 40;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

const auto& kExact = limits_of(DType::kFloat32);

std::vector<GenerationRequest> requests_for(const std::vector<TokenIds>& prompts,
                                            int64_t max_new_tokens) {
  std::vector<GenerationRequest> requests;
  for (const auto& prompt : prompts) {
    requests.push_back({.prompt_ids = prompt, .max_new_tokens = max_new_tokens});
  }
  return requests;
}

/// Three prompts of a tiny model, each run alone; made anew each time, so that it can be damaged.
DecodeState some_state() {
  Random random(1);
  return prefill_alone(random_model(tiny_configs().front()), random.prompts({3, 30, 1}, 61),
                       kCapacity);
}

std::vector<PromptDifference> compare_all(const DecodeState& actual, const DecodeState& expected) {
  std::vector<PromptDifference> differences;
  for (int64_t row = 0; row < 3; ++row) differences.push_back(compare_row(actual, expected, row));
  return differences;
}

/// Damages a state, and returns what is found in the three prompts.
template <typename Damage>
std::vector<Failure> failures_after(const Damage& damage, const Limits& limits = kExact) {
  auto state = some_state();
  damage(state);
  return find_failures(compare_all(state, some_state()), limits);
}

void require_one(const std::vector<Failure>& failures, int64_t prompt, const std::string& what) {
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].prompt == prompt);
  CHECK(failures[0].num_prompts == 1);
  CHECK_THAT(failures[0].what, ContainsSubstring(what));
}

/// Two prompts packed without the boundary between them: the second reads the first.
DecodeState contaminated_state(const Model& model, const std::vector<TokenIds>& prompts) {
  const std::vector<std::vector<int64_t>> bins = {{0, 1}};
  const auto batch = make_packed_batch(prompts, bins, BatchLayout::kFlat);
  DecodeState state{KvCache(model.config(), 2, kCapacity, model.dtype(), at::kCPU), {}, {}};
  std::vector<int64_t> slots;
  std::vector<int64_t> last_tokens;
  for (const auto& segment : batch.segments) {
    for (int64_t i = 0; i < segment.length; ++i) slots.push_back(segment.sequence * kCapacity + i);
    state.lengths.push_back(segment.length);
    last_tokens.push_back(static_cast<int64_t>(slots.size()) - 1);
  }
  const auto hidden = model.forward({.input_ids = batch.input_ids.flatten(),
                                     .position_ids = batch.position_ids.flatten(),
                                     .attention = CausalAttention{.num_rows = 1},
                                     .cache_slots = {{}, at::tensor(slots, at::kLong)},
                                     .sequence_lens = testing::sequence_lens(batch.cu_seqlens)},
                                    state.cache);
  state.logits = model.compute_logits(hidden.index_select(0, at::tensor(last_tokens, at::kLong)));
  return state;
}

TEST_CASE("a prompt that reads its neighbour fails in every dtype", "[verification]") {
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const auto& config : tiny_configs()) {
      CAPTURE(to_string(dtype), config.num_heads);
      const auto model = random_model(config, 1, dtype);
      Random random(9);
      const auto prompts = random.prompts({20, 12}, config.vocab_size);
      const auto alone = prefill_alone(model, prompts, kCapacity);
      const auto wrong = contaminated_state(model, prompts);
      const PromptDifference first = compare_row(wrong, alone, 0);
      const PromptDifference second = compare_row(wrong, alone, 1);
      CHECK(find_failures({&first, 1}, limits_of(dtype)).empty());
      CHECK_FALSE(find_failures({&second, 1}, limits_of(dtype)).empty());
      for (const auto activations : {Activations::kInt16, Activations::kInt8}) {
        CHECK_FALSE(find_failures({&second, 1}, limits_of(dtype, activations)).empty());
      }
    }
  }
}

TEST_CASE("every variant of the tiny models is equivalent to each prompt alone", "[verification]") {
  for (const auto& config : tiny_configs()) {
    CAPTURE(config.num_heads);
    const auto model = random_model(config);
    Random random(2);
    auto variants = all_variants();
    REQUIRE(variants.size() == 6);
    int64_t num_runs = 0;
    for (const auto& lengths : {std::vector<int64_t>{3, 30, 1, 12, 1}, {8, 8}}) {
      verify_batch(model, requests_for(random.prompts(lengths, config.vocab_size), 20),
                   {.token_budget = 40}, variants, [&](int64_t prompts) { num_runs += prompts; });
    }
    CHECK(num_runs == 7 * 7);
    for (const auto& variant : variants) {
      INFO(to_string(variant.method) << ", " << to_string(variant.final_token));
      CHECK(variant.prompts.size() == 7);
      CHECK(find_failures(variant.prompts, kExact).empty());
      const auto summary = summarize(variant.prompts);
      CHECK(summary.num_same_texts == 7);
      CHECK(summary.num_same_tops == 7);
      CHECK(summary.mean_logit <= summary.max_logit);
      CHECK(summary.max_divergence < 1e-6);
    }
  }
}

TEST_CASE("a prompt that fills the model's positions has one greedy token", "[verification]") {
  auto config = tiny_configs().front();
  config.max_position_embeddings = 23;
  Random random(3);
  auto variants = all_variants();
  verify_batch(random_model(config), requests_for(random.prompts({23, 4}, 61), 5), {}, variants);
  for (const auto& variant : variants) CHECK(find_failures(variant.prompts, kExact).empty());
}

TEST_CASE("half precision is held to its own limits", "[verification]") {
  Random random(4);
  const auto config = tiny_configs().front();
  const auto requests = requests_for(random.prompts({3, 30, 1, 12}, config.vocab_size), 4);
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    CAPTURE(to_string(dtype));
    auto variants = all_variants();
    verify_batch(random_model(config, 1, dtype), requests, {}, variants);
    for (const auto& variant : variants) {
      CHECK(find_failures(variant.prompts, limits_of(dtype)).empty());
    }
  }
}

TEST_CASE("the same state has no differences", "[verification]") {
  CHECK(failures_after([](DecodeState&) {}).empty());
  for (const auto& difference : compare_all(some_state(), some_state())) {
    CHECK(difference.max_logit == 0);
    CHECK(difference.cache == 0);
    CHECK(difference.divergence == 0);
    CHECK(difference.same_top);
    CHECK_FALSE(difference.parting);
  }
}

TEST_CASE("one logit that is off is found", "[verification]") {
  require_one(failures_after([](DecodeState& state) { state.logits[1][7] += 0.01; }), 1,
              "logits differ by 0.01, where 0.0001 is allowed");
  CHECK(failures_after([](DecodeState& state) { state.logits[1][7] += 2e-5; }).empty());
}

TEST_CASE("one key or value that is off is found", "[verification]") {
  const std::string what = "keys and values differ, as a part of the largest, by";
  require_one(failures_after([](DecodeState& state) {
                state.cache.keys(2, 3, kCapacity)[1][29][1][9] += 0.1;
              }),
              1, what);
  require_one(failures_after([](DecodeState& state) {
                state.cache.values(0, 3, kCapacity)[2][0][0][0] -= 0.1;
              }),
              2, what);
  // Behind the end of the prompt nothing is compared: there decoding will write.
  CHECK(failures_after([](DecodeState& state) {
          state.cache.keys(0, 3, kCapacity)[0][3][0][0] += 1;
        }).empty());
}

TEST_CASE("keys of another length or another prompt are found", "[verification]") {
  require_one(failures_after([](DecodeState& state) { state.lengths[0] = 2; }), 0, "by inf");
  const auto swapped = failures_after([](DecodeState& state) { state.cache.copy_row(1, 0, 3); });
  require_one(swapped, 0, "keys and values");
}

TEST_CASE("what is not a number never passes", "[verification]") {
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    CAPTURE(to_string(dtype));
    const auto& limits = limits_of(dtype);
    CHECK_FALSE(
        failures_after([](DecodeState& state) { state.logits[1][7] = kNaN; }, limits).empty());
    require_one(
        failures_after(
            [](DecodeState& state) { state.cache.values(1, 3, kCapacity)[1][4][0][3] = kNaN; },
            limits),
        1, "by inf");
  }
  // Nor where the prompt alone has the same.
  auto broken = some_state();
  broken.logits.fill_(kNaN);
  broken.cache.keys(0, 3, kCapacity).fill_(std::numeric_limits<double>::infinity());
  for (const auto& difference : compare_all(broken, broken)) {
    CHECK(std::isinf(difference.max_logit));
    CHECK(std::isinf(difference.mean_logit));
    CHECK(std::isinf(difference.divergence));
    CHECK(std::isinf(difference.cache));
    CHECK(std::isinf(difference.relative_cache));
  }
}

TEST_CASE("a model that computes no numbers fails in every variant", "[verification]") {
  auto config = tiny_configs().front();
  config.rms_norm_eps = kNaN;
  auto variants = all_variants();
  verify_batch(random_model(config), requests_for({{1, 2}, {3}}, 4), {}, variants);
  for (const auto& variant : variants) {
    CHECK_FALSE(find_failures(variant.prompts, kExact).empty());
  }
}

TEST_CASE("the first token that differs between two texts is found", "[verification]") {
  CHECK_FALSE(find_parting({4, 5, 6}, {4, 5, 6}));
  CHECK(find_parting({4, 9, 6}, {4, 5, 6})->token == 1);
  CHECK(find_parting({4, 5}, {4, 5, 6})->token == 2);
  CHECK(find_parting({}, {4})->token == 0);
}

TEST_CASE("another greedy text fails in float32, also at a near-tie", "[verification]") {
  std::vector<PromptDifference> prompts(3);
  prompts[2].parting = {.token = 5, .gap = 0.3};
  require_one(find_failures(prompts, kExact), 2,
              "another greedy text from token 5 on, where the two likeliest tokens are 0.3 apart");
  prompts[2].parting->gap = 3e-5;
  require_one(find_failures(prompts, kExact), 2, "a near-tie");
  CHECK(find_failures(prompts, limits_of(DType::kBFloat16)).empty());
}

TEST_CASE("half precision fails by its distributions", "[verification]") {
  const auto& limits = limits_of(DType::kBFloat16);
  std::vector<PromptDifference> prompts(30);
  SECTION("one prompt that is far off") {
    prompts[4].divergence = 1;
    require_one(find_failures(prompts, limits), 4, "have a KL divergence of 1, where");
  }
  SECTION("all prompts that are off a little") {
    for (auto& prompt : prompts) prompt.divergence = 0.1;
    prompts[9].divergence = 0.2;
    const auto failures = find_failures(prompts, limits);
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].prompt == 9);
    CHECK(failures[0].num_prompts == 30);
    CHECK_THAT(failures[0].what, ContainsSubstring("mean KL divergence of 0.1"));
  }
  SECTION("near-ties may change their likeliest token, clear choices may not") {
    for (auto& prompt : prompts) {
      prompt.same_top = false;
      prompt.lead = 0.1;
    }
    CHECK(find_failures(prompts, limits).empty());
    CHECK(summarize(prompts).num_same_tops == 0);
    prompts[3].lead = 3;
    CHECK(find_failures(prompts, limits).empty());  // one of thirty
    prompts[5].lead = 2;
    const auto failures = find_failures(prompts, limits);
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].prompt == 3);
    CHECK(failures[0].num_prompts == 2);
    CHECK_THAT(failures[0].what, ContainsSubstring("own leads by 3"));
  }
}

}  // namespace
}  // namespace prepack::bench
