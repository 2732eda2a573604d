// The paper's form of prefill, in which the first decode step does each prompt's final token, gives
// the same as the form that packs it with the others.

#include <algorithm>

#include "prepack/decode.h"
#include "prepack/error.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::check_same_state;
using testing::prefill_alone;
using testing::prefill_variants;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;

constexpr int64_t kCapacity = 60;
const double kTolerance = testing::tolerance(DType::kFloat32).logits;

void check_all_variants(const Model& model, const std::vector<TokenIds>& prompts) {
  const auto alone = prefill_alone(model, prompts, kCapacity);
  for (auto [name, options] : prefill_variants(prompts)) {
    INFO(name);
    options.final_token = FinalToken::kFirstStep;
    auto state = prefill(model, prompts, options, kCapacity);
    for (size_t i = 0; i < prompts.size(); ++i) {
      REQUIRE(state.lengths[i] == static_cast<int64_t>(prompts[i].size()) - 1);
      REQUIRE(state.final_tokens.at(i) == prompts[i].back());
    }
    CHECK_FALSE(state.logits.defined());
    decode_final_tokens(model, state);
    CHECK(state.final_tokens.empty());
    check_same_state(state, alone, kTolerance);
  }
}

TEST_CASE("a final token that the first decode step does gives the same state", "[final_token]") {
  for (const auto& config : tiny_configs()) {
    Random random(config.num_heads);
    const auto model = random_model(config);
    for (int i = 0; i < 4; ++i) {
      check_all_variants(
          model, random.prompts(random.integers(random.integer(1, 9), 1, 40), config.vocab_size));
    }
  }
}

TEST_CASE("a final token that outgrows the original context turns all of its prompt",
          "[final_token]") {
  // Of 11 tokens in these configs.
  for (const auto& config : tiny_configs()) {
    if (!config.rope.depends_on_length()) continue;
    Random random(4);
    check_all_variants(random_model(config),
                       random.prompts({12, 11, 10, 13, 12, 1}, config.vocab_size));
  }
}

TEST_CASE("prompts of one token are all final token", "[final_token]") {
  Random random(1);
  const auto model = random_model(tiny_configs().front());
  check_all_variants(model, random.prompts({1, 1, 1}, 61));
  check_all_variants(model, random.prompts({1, 9, 1, 4, 1}, 61));
}

TEST_CASE("decoding begins with the final tokens where prefill left them", "[final_token]") {
  Random random(2);
  const auto model = random_model(tiny_configs().front());
  const auto prompts = random.prompts({3, 30, 1, 12, 1, 8}, 61);
  const auto greedy = [&](FinalToken place) {
    std::vector<DecodeRequest> requests;
    for (const auto& prompt : prompts) {
      requests.push_back({.sampler = Sampler({}, 0, prompt), .max_new_tokens = 31});
    }
    RunStats stats;
    auto state = prefill(model, prompts, {.final_token = place}, kCapacity, &stats);
    std::vector<TokenIds> tokens;
    for (auto& sequence : decode(model, std::move(state), requests, {}, &stats)) {
      tokens.push_back(sequence.token_ids);
    }
    CHECK(stats.prompt_tokens == 55);
    CHECK(stats.computed_tokens == (place == FinalToken::kPrefill ? 55 : 49));
    CHECK(stats.generated_tokens == 6 * 31);
    return tokens;
  };
  CHECK(greedy(FinalToken::kFirstStep) == greedy(FinalToken::kPrefill));
}

TEST_CASE("a cache without room for the final token is refused", "[final_token]") {
  Random random(3);
  const auto model = random_model(tiny_configs().front());
  const auto prompts = random.prompts({5}, 61);
  const PrefillOptions options{.final_token = FinalToken::kFirstStep};
  CHECK_THROWS_AS(prefill(model, prompts, options, 4), InvalidArgument);
  std::vector<DecodeRequest> requests;
  requests.push_back({.sampler = Sampler({}, 0, prompts[0]), .max_new_tokens = 2});
  CHECK_THROWS_WITH(decode(model, prefill(model, prompts, options, 5), requests),
                    ContainsSubstring("6 cache slots needed, 5 there"));
}

TEST_CASE("the plan leaves the final tokens out", "[final_token]") {
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    const PrefillOptions options{.method = method, .final_token = FinalToken::kFirstStep};
    const std::vector<int64_t> lengths = {1, 6, 3, 1, 4};
    const auto plan = plan_prefill(lengths, options);
    CHECK(plan.prompt_tokens == 10);
    std::vector<int64_t> planned;
    for (const auto& forward : plan.forwards) {
      for (const auto& bin : forward.bins) planned.insert(planned.end(), bin.begin(), bin.end());
    }
    std::ranges::sort(planned);
    CHECK(planned == std::vector<int64_t>{1, 2, 4});
    CHECK(plan_prefill(std::vector<int64_t>{1, 1}, options).forwards.empty());
  }
}

TEST_CASE("the places of the final token are parsed by name", "[final_token]") {
  for (auto place : {FinalToken::kPrefill, FinalToken::kFirstStep}) {
    CHECK(parse_final_token(to_string(place)) == place);
  }
  CHECK_THROWS_WITH(parse_final_token("last"),
                    ContainsSubstring("expected prefill or first-step, got last"));
}

}  // namespace
}  // namespace prepack
