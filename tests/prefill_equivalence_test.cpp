// Every way to prefill gives what each prompt gives when it runs alone.

#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "prepack/error.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "weights/quantized_weight.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::check_same_state;
using testing::prefill_alone;
using testing::prefill_variants;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;
using testing::tolerance;

constexpr int64_t kCapacity = 50;
const double kTolerance = tolerance(DType::kFloat32).logits;

Model tiny_model() { return random_model(tiny_configs().front()); }

void check_all_variants(const Model& model, const std::vector<TokenIds>& prompts) {
  const auto alone = prefill_alone(model, prompts, kCapacity);
  for (const auto& [name, options] : prefill_variants(prompts)) {
    INFO(name);
    check_same_state(prefill(model, prompts, options, kCapacity), alone, kTolerance);
  }
}

TEST_CASE("every method gives each prompt's own cache and logits", "[prefill]") {
  uint64_t seed = 0;
  for (const auto& config : tiny_configs()) {
    const auto model = random_model(config);
    for (int i = 0; i < 6; ++i) {
      CAPTURE(config.num_heads, ++seed);
      Random random(seed);
      check_all_variants(
          model, random.prompts(random.integers(random.integer(2, 9), 1, 40), config.vocab_size));
    }
  }
}

TEST_CASE("layers whose products write SwiGLU make one model with others", "[prefill]") {
  int num_products = 0;
  // The second layer has 8 bits, whose products write SwiGLU of more tokens only.
  const auto store = [&](const at::Tensor& weight) -> Weight {
    if (num_products++ / 4 != 1) return weight;
    const Quantization quantization{.bits = 8};
    auto rounded = QuantizedWeight::make_empty(weight.size(0), weight.size(1), quantization);
    REQUIRE(rounded.quantize_rows(0, weight));
    return rounded;
  };
  const auto model = random_model(tiny_configs().front(), 1, DType::kFloat32, store);
  Random random(12);
  check_all_variants(model, random.prompts({20, 30, 13}, 61));
}

TEST_CASE("a single prompt prefills with every method", "[prefill]") {
  Random random(1);
  for (int64_t length : {1, 2, 37}) check_all_variants(tiny_model(), random.prompts({length}, 61));
}

TEST_CASE("prompts of one token prefill with every method", "[prefill]") {
  Random random(2);
  check_all_variants(tiny_model(), random.prompts({1, 1, 1, 1, 1}, 61));
  check_all_variants(tiny_model(), random.prompts({1, 9, 1, 1, 4}, 61));
}

TEST_CASE("duplicate prompts each keep their own row", "[prefill]") {
  Random random(3);
  const auto prompts = random.prompts({4, 7}, 61);
  check_all_variants(tiny_model(), {prompts[0], prompts[1], prompts[0], prompts[0], prompts[1]});
}

TEST_CASE("prompts of one length prefill with every method", "[prefill]") {
  Random random(4);
  check_all_variants(tiny_model(), random.prompts({11, 11, 11, 11, 11}, 61));
}

TEST_CASE("a prompt may fill the cache row, the budget and the model's positions exactly",
          "[prefill]") {
  auto config = tiny_configs().front();
  config.max_position_embeddings = 23;
  const auto model = random_model(config);
  Random random(5);
  const auto prompts = random.prompts({23, 5, 23}, 61);
  const auto alone = prefill_alone(model, prompts, 23);
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    const auto state = prefill(model, prompts, {.method = method, .token_budget = 23}, 23);
    check_same_state(state, alone, kTolerance);
  }
}

TEST_CASE("results follow the caller's order, whatever it is", "[prefill]") {
  Random random(6);
  const auto model = tiny_model();
  const auto prompts = random.prompts({3, 30, 1, 12, 12, 8, 25}, 61);
  const auto expected = prefill(model, prompts, {}, kCapacity);
  std::vector<int64_t> order(prompts.size());
  std::iota(order.begin(), order.end(), 0);
  for (int i = 0; i < 4; ++i) {
    random.shuffle(order);
    std::vector<TokenIds> shuffled;
    for (int64_t prompt : order) shuffled.push_back(prompts[prompt]);
    for (const auto& [name, options] : prefill_variants(prompts)) {
      INFO(name);
      const auto state = prefill(model, shuffled, options, kCapacity);
      for (size_t row = 0; row < order.size(); ++row) {
        const auto place = static_cast<int64_t>(row);
        REQUIRE(state.lengths[row] == expected.lengths[order[row]]);
        CHECK_THAT(state.logits[place], AllClose(expected.logits[order[row]], kTolerance));
        const auto length = state.lengths[row];
        CHECK_THAT(testing::cache_row(state.cache, place, length),
                   AllClose(testing::cache_row(expected.cache, order[row], length), kTolerance));
      }
    }
  }
}

TEST_CASE("the same prefill gives the same bits again", "[prefill]") {
  Random random(7);
  const auto model = tiny_model();
  const auto prompts = random.prompts({3, 30, 1, 12}, 61);
  for (const auto& [name, options] : prefill_variants(prompts)) {
    INFO(name);
    const auto first = prefill(model, prompts, options, kCapacity);
    const auto second = prefill(model, prompts, options, kCapacity);
    CHECK_THAT(second.logits, BitEqual(first.logits));
    CHECK_THAT(second.cache.keys(2, 4, kCapacity), BitEqual(first.cache.keys(2, 4, kCapacity)));
  }
}

TEST_CASE("in half precision every method gives nearly each prompt's own distribution",
          "[prefill]") {
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const auto& config : tiny_configs()) {
      const auto model = random_model(config, 1, dtype);
      Random random(8);
      const auto prompts = random.prompts({3, 30, 1, 12, 12, 8, 25}, config.vocab_size);
      const auto expected =
          prefill_alone(model, prompts, kCapacity).logits.to(at::kDouble).log_softmax(1);
      for (const auto& [name, options] : prefill_variants(prompts)) {
        INFO(to_string(dtype) << ", " << config.num_heads << " heads, " << name);
        const auto state = prefill(model, prompts, options, kCapacity);
        const auto actual = state.logits.to(at::kDouble).log_softmax(1);
        const auto divergence = expected.exp().mul(expected.sub(actual)).sum(1);
        CHECK_THAT(divergence, AllClose(at::zeros_like(divergence), tolerance(dtype).divergence));
      }
    }
  }
}

TEST_CASE("half precision gives nearly the distribution of float32", "[prefill]") {
  Random random(9);
  const auto config = tiny_configs().front();
  const auto prompts = random.prompts({3, 30, 1, 12}, config.vocab_size);
  const auto expected = prefill(random_model(config), prompts, {}, kCapacity).logits.log_softmax(1);
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    INFO(to_string(dtype));
    const auto actual =
        prefill(random_model(config, 1, dtype), prompts, {}, kCapacity).logits.log_softmax(1);
    const auto divergence = expected.exp().mul(expected.sub(actual)).sum(1);
    CHECK_THAT(divergence, AllClose(at::zeros_like(divergence), tolerance(dtype).divergence));
  }
}

TEST_CASE("no prompts give an empty state", "[prefill]") {
  const auto model = tiny_model();
  const auto state = prefill(model, {}, {}, 10);
  CHECK(state.lengths.empty());
  CHECK(state.logits.sizes() == at::IntArrayRef({0, 61}));
}

TEST_CASE("prefill counts what it computes", "[prefill]") {
  Random random(10);
  const auto model = tiny_model();
  const auto prompts = random.prompts({2, 5, 3}, 61);
  RunStats stats;
  prefill(model, prompts, {.method = PrefillMethod::kPacked}, kCapacity, &stats);
  CHECK(stats.num_prompts == 3);
  CHECK(stats.prompt_tokens == 10);
  CHECK(stats.computed_tokens == 10);
  CHECK(stats.num_rows == 1);
  CHECK(stats.num_forwards == 1);
  CHECK(stats.prefill_s > 0);
  // Added to what is there: two rows of five, then three rows of five in forwards of ten tokens.
  prefill(model, prompts, {.method = PrefillMethod::kPackedRows}, kCapacity, &stats);
  CHECK(stats.computed_tokens == 20);
  CHECK(stats.num_rows == 3);
  prefill(model, prompts, {.method = PrefillMethod::kPadded, .token_budget = 10}, kCapacity,
          &stats);
  CHECK(stats.num_prompts == 9);
  CHECK(stats.prompt_tokens == 30);
  CHECK(stats.computed_tokens == 20 + 10 + 3);
  CHECK(stats.num_rows == 6);
  CHECK(stats.num_forwards == 4);
}

/// Every method refuses these prompts with this message.
void check_refused(const std::vector<TokenIds>& prompts, int64_t token_budget,
                   const std::string& message) {
  const auto model = tiny_model();
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    const PrefillOptions options{.method = method, .token_budget = token_budget};
    CHECK_THROWS_AS(prefill(model, prompts, options, 1000), InvalidArgument);
    CHECK_THROWS_WITH(prefill(model, prompts, options, 1000), ContainsSubstring(message));
  }
}

TEST_CASE("an empty prompt is named", "[prefill]") {
  check_refused({{1, 2}, {}, {3}}, 4096, "prompt 1 is empty");
}

TEST_CASE("a prompt longer than the model's positions is named", "[prefill]") {
  check_refused({{1}, TokenIds(129, 5)}, 4096, "prompt 1 has 129 tokens");
  check_refused({{1}, TokenIds(129, 5)}, 4096, "max_position_embeddings of 128");
}

TEST_CASE("a token outside the vocabulary is named", "[prefill]") {
  check_refused({{1, 60}, {3, 61}}, 4096, "prompt 1 has token id 61");
  check_refused({{-1}}, 4096, "prompt 0 has token id -1");
}

TEST_CASE("a prompt longer than the token budget is named", "[prefill]") {
  check_refused({{1, 2}, {1, 2, 3, 4}, {1, 2, 3}}, 3, "prompt 1 has 4 tokens");
}

TEST_CASE("a prompt longer than its cache row is named", "[prefill]") {
  const auto model = tiny_model();
  const std::vector<TokenIds> prompts = {{1, 2}, {1, 2, 3}};
  CHECK_THROWS_AS(prefill(model, prompts, {}, 2), InvalidArgument);
  CHECK_THROWS_WITH(prefill(model, prompts, {}, 2), ContainsSubstring("prompt 1 has 3 tokens"));
}

}  // namespace
}  // namespace prepack
