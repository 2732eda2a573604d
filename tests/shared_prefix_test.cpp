#include "prepack/shared_prefix.h"

#include <algorithm>
#include <numeric>

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
using testing::Random;
using testing::random_model;
using testing::tiny_configs;
using testing::tolerance;

constexpr int64_t kCapacity = 120;

int64_t common_length(const TokenIds& a, const TokenIds& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

TEST_CASE("prompts share what they can with another", "[shared_prefix]") {
  const std::vector<TokenIds> prompts = {{1, 2, 3, 4}, {1, 2, 9}, {1, 2, 3, 4, 5}, {7, 8}};
  const auto shared = find_shared_prefixes(prompts, 2);
  CHECK(shared[0].source == -1);
  CHECK(shared[1].source == 0);
  CHECK(shared[1].length == 2);
  CHECK(shared[2].source == 0);
  CHECK(shared[2].length == 4);
  CHECK(shared[3].source == -1);
}

TEST_CASE("equal prompts share all but the last token", "[shared_prefix]") {
  const std::vector<TokenIds> prompts(3, TokenIds{4, 5, 6, 7});
  const auto shared = find_shared_prefixes(prompts, 1);
  CHECK(shared[0].source == -1);
  for (size_t i : {1, 2}) {
    CHECK(shared[i].source == 0);
    CHECK(shared[i].length == 3);
    CHECK(shared[i].phase == 1);
  }
}

TEST_CASE("a header within a header is shared too", "[shared_prefix]") {
  // All begin with 1 1 1; the second group goes on alike for longer.
  const std::vector<TokenIds> prompts = {
      {1, 1, 1, 2, 2}, {1, 1, 1, 3, 3}, {1, 1, 1, 5, 5, 5, 5, 1}, {1, 1, 1, 5, 5, 5, 5, 2}};
  const auto shared = find_shared_prefixes(prompts, 3);
  CHECK(shared[2].source == 0);
  CHECK(shared[2].length == 3);
  CHECK(shared[3].source == 2);
  CHECK(shared[3].length == 7);
  CHECK(shared[3].phase == 2);
}

TEST_CASE("prompts of different classes share nothing", "[shared_prefix]") {
  const std::vector<TokenIds> prompts = {
      {1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 3, 6}, {1, 2, 3, 4}, {1, 2, 3, 7}};
  const std::vector<int64_t> classes = {8, 3, 8, 3, 1};
  const auto shared = find_shared_prefixes(prompts, 1, classes);
  CHECK(shared[0].source == -1);
  CHECK(shared[1].source == 3);
  CHECK(shared[1].length == 3);
  CHECK(shared[2].source == 0);
  CHECK(shared[2].length == 3);
  CHECK(shared[3].source == -1);
  CHECK(shared[4].source == -1);
}

TEST_CASE("random prompts share true prefixes of earlier phases, and too short ones nothing",
          "[shared_prefix]") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    // Of two tokens, so that long beginnings are alike.
    const auto prompts = random.prompts(random.integers(random.integer(1, 30), 1, 12), 2);
    const int64_t min_length = random.integer(1, 4);
    const auto classes = random.integers(std::ssize(prompts), 1, random.integer(1, 3));
    const auto shared = find_shared_prefixes(prompts, min_length, classes);
    REQUIRE(shared.size() == prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      const auto& prefix = shared[i];
      if (prefix.source < 0) {
        CHECK(prefix.length == 0);
        CHECK(prefix.phase == 0);
        continue;
      }
      CHECK(classes[i] == classes[prefix.source]);
      CHECK(prefix.length >= min_length);
      CHECK(prefix.length < static_cast<int64_t>(prompts[i].size()));
      CHECK(common_length(prompts[i], prompts[prefix.source]) >= prefix.length);
      CHECK(prefix.phase == shared[prefix.source].phase + 1);
      CHECK(prefix.phase < 3);
    }
  }
}

TEST_CASE("no prompts and one prompt share nothing", "[shared_prefix]") {
  CHECK(find_shared_prefixes({}, 1).empty());
  const std::vector<TokenIds> one = {{1, 2, 3}};
  CHECK(find_shared_prefixes(one, 1).front().source == -1);
}

using Batches = std::vector<std::vector<int64_t>>;

TEST_CASE("batches end where prompts have least in common with the next", "[shared_prefix]") {
  const std::vector<TokenIds> prompts = {{1, 1, 2}, {3, 3, 1}, {1, 1, 3}, {3, 3, 2}, {3, 3, 3}};
  CHECK(make_prefix_batches(prompts, 3, 2) == Batches{{0, 2}, {1, 3, 4}});
  // Not so early that half of the batch would be empty.
  CHECK(make_prefix_batches(prompts, 4, 2) == Batches{{0, 2, 1, 3}, {4}});
  // What has less than the shortest beginning in common has nothing.
  CHECK(make_prefix_batches(prompts, 3, 3) == Batches{{0, 2, 1}, {3, 4}});
  CHECK(make_prefix_batches(prompts, 5, 2) == Batches{{0, 2, 1, 3, 4}});
  CHECK(make_prefix_batches(prompts, 1, 1) == Batches{{0}, {2}, {1}, {3}, {4}});
  CHECK(make_prefix_batches({}, 4, 1).empty());
  // Prompts of another class cannot share, whatever they begin with.
  CHECK(make_prefix_batches(prompts, 3, 2, std::vector<int64_t>{1, 0, 0, 0, 1}) ==
        Batches{{2, 1, 3}, {0, 4}});
  CHECK(make_prefix_batches(prompts, 3, 2, std::vector<int64_t>{1, 0, 1, 0, 1}) ==
        Batches{{1, 3}, {0, 2, 4}});
}

TEST_CASE("no other batches of random prompts are cheaper", "[shared_prefix]") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto prompts = random.prompts(random.integers(random.integer(1, 60), 1, 12), 2);
    const int64_t batch_size = random.integer(1, 20);
    const int64_t min_length = random.integer(1, 4);
    CAPTURE(seed, batch_size, min_length);
    const auto batches = make_prefix_batches(prompts, batch_size, min_length);
    std::vector<int64_t> order;
    for (const auto& batch : batches) order.insert(order.end(), batch.begin(), batch.end());
    const auto size = std::ssize(prompts);
    auto numbers = order;
    std::ranges::sort(numbers);
    std::vector<int64_t> all(size);
    std::iota(all.begin(), all.end(), 0);
    REQUIRE(numbers == all);
    CHECK(std::ranges::is_sorted(order, {}, [&](int64_t i) { return prompts[i]; }));

    const auto cost_at = [&](int64_t end) {
      const int64_t common =
          end < size ? common_length(prompts[order[end - 1]], prompts[order[end]]) : 0;
      return min_length + (common < min_length ? 0 : common);
    };
    int64_t cost = 0;
    int64_t end = 0;
    for (const auto& batch : batches) {
      end += std::ssize(batch);
      cost += cost_at(end);
      CHECK(std::ssize(batch) <= batch_size);
      CHECK((end == size || 3 * std::ssize(batch) >= 2 * batch_size));
    }
    constexpr int64_t kImpossible = 1'000'000;
    std::vector<int64_t> least(size + 1, kImpossible);  // of all batches up to there
    least[0] = 0;
    for (int64_t to = 1; to <= size; ++to) {
      for (int64_t from = std::max<int64_t>(to - batch_size, 0); from < to; ++from) {
        if (to < size && 3 * (to - from) < 2 * batch_size) continue;
        least[to] = std::min(least[to], least[from] + cost_at(to));
      }
    }
    CHECK(cost == least[size]);
  }
}

/// Prompts of a few headers, some within others, and tails of their own.
std::vector<TokenIds> prompts_with_headers(Random& random, int64_t vocab_size) {
  std::vector<TokenIds> headers = random.prompts({40, 50, 33}, vocab_size);
  headers.push_back(headers[0]);
  const auto more = random.prompts({36}, vocab_size).front();
  headers.back().insert(headers.back().end(), more.begin(), more.end());
  std::vector<TokenIds> prompts;
  for (int i = 0; i < 12; ++i) {
    auto prompt = headers[random.integer(0, std::ssize(headers) - 1)];
    const auto tail = random.prompts({random.integer(1, 20)}, vocab_size).front();
    prompt.insert(prompt.end(), tail.begin(), tail.end());
    prompts.push_back(prompt);
  }
  prompts.push_back(headers[3]);
  prompts.push_back(prompts.front());
  prompts.push_back({5});
  return prompts;
}

TEST_CASE("prompts that share beginnings get the caches and logits of each alone",
          "[shared_prefix]") {
  for (const auto& config : tiny_configs()) {
    const auto model = random_model(config);
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      for (int64_t budget : {100, 4096}) {
        CAPTURE(config.num_heads, seed, budget);
        Random random(seed);
        const auto prompts = prompts_with_headers(random, config.vocab_size);
        RunStats stats;
        const auto together = prefill(
            model, prompts, {.token_budget = budget, .shares_prefixes = true}, kCapacity, &stats);
        // With dynamic RoPE only prompts of the same length turn alike.
        const bool is_dynamic = std::holds_alternative<DynamicRopeScaling>(config.rope.scaling);
        CHECK(stats.shared_tokens > (is_dynamic ? 30 : 100));
        CHECK(stats.computed_tokens == stats.prompt_tokens - stats.shared_tokens);
        // What is computed once is held once.
        CHECK(together.cache.keys(0).size(0) ==
              std::ssize(prompts) * kCapacity - stats.shared_tokens);
        check_same_state(together, prefill_alone(model, prompts, kCapacity),
                         tolerance(DType::kFloat32).logits);
      }
    }
  }
}

TEST_CASE("sharing beginnings goes with the final token in the first step", "[shared_prefix]") {
  const auto config = tiny_configs().front();
  const auto model = random_model(config);
  Random random(4);
  const auto prompts = prompts_with_headers(random, config.vocab_size);
  auto state = prefill(model, prompts,
                       {.final_token = FinalToken::kFirstStep, .shares_prefixes = true}, kCapacity);
  decode_final_tokens(model, state);
  check_same_state(state, prefill_alone(model, prompts, kCapacity),
                   tolerance(DType::kFloat32).logits);
}

TEST_CASE("padded caches have a copy of each shared beginning", "[shared_prefix]") {
  const auto config = tiny_configs().front();
  const auto model = random_model(config);
  Random random(7);
  const auto prompts = prompts_with_headers(random, config.vocab_size);
  RunStats stats;
  const auto state =
      prefill(model, prompts, {.shares_prefixes = true, .padded_cache = true}, kCapacity, &stats);
  CHECK(stats.shared_tokens > 100);
  CHECK(state.cache.keys(0).size(0) == std::ssize(prompts) * kCapacity);
  check_same_state(state, prefill_alone(model, prompts, kCapacity),
                   tolerance(DType::kFloat32).logits);
}

/// What is generated greedily after each prompt.
std::vector<TokenIds> greedy_texts(const Model& model, const std::vector<TokenIds>& prompts,
                                   const std::vector<int64_t>& max_new_tokens,
                                   const PrefillOptions& options) {
  std::vector<int64_t> row_capacities;
  std::vector<DecodeRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    row_capacities.push_back(std::ssize(prompts[i]) + max_new_tokens[i] - 1);
    requests.push_back({Sampler({}, 0, prompts[i]), max_new_tokens[i]});
  }
  auto state = prefill(model, prompts, options, row_capacities);
  std::vector<TokenIds> texts;
  for (auto& sequence : decode(model, std::move(state), requests)) {
    texts.push_back(std::move(sequence.token_ids));
  }
  return texts;
}

std::vector<TokenIds> greedy_texts_alone(const Model& model, const std::vector<TokenIds>& prompts,
                                         const std::vector<int64_t>& max_new_tokens) {
  std::vector<TokenIds> texts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    texts.push_back(greedy_texts(model, {prompts[i]}, {max_new_tokens[i]}, {}).front());
  }
  return texts;
}

TEST_CASE("sequences that begin in others' rows generate what each does alone", "[shared_prefix]") {
  for (const auto& config : tiny_configs()) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      const auto model = random_model(config, seed);
      Random random(seed);
      const auto prompts = prompts_with_headers(random, config.vocab_size);
      const auto max_new_tokens = random.integers(std::ssize(prompts), 1, 12);
      const auto expected = greedy_texts_alone(model, prompts, max_new_tokens);
      for (auto final_token : {FinalToken::kPrefill, FinalToken::kFirstStep}) {
        for (bool padded_cache : {false, true}) {
          CAPTURE(config.num_heads, seed, to_string(final_token), padded_cache);
          CHECK(greedy_texts(model, prompts, max_new_tokens,
                             {.final_token = final_token,
                              .shares_prefixes = true,
                              .padded_cache = padded_cache}) == expected);
        }
      }
    }
  }
}

TEST_CASE("what others read of a sequence that has ended stays", "[shared_prefix]") {
  auto config = tiny_configs().front();
  config.max_position_embeddings = 1024;
  const auto model = random_model(config);
  Random random(8);
  // Each goes on where the one before has a header of several pages. What others begin with ends
  // at once.
  std::vector<TokenIds> prompts = {random.tokens(400, config.vocab_size)};
  prompts.front()[350] = 0;
  for (int64_t num_shared : {350, 600}) {
    auto prompt = prompts.back();
    prompt.resize(num_shared);
    prompt.push_back(1);
    const auto tail = random.tokens(300, config.vocab_size);
    prompt.insert(prompt.end(), tail.begin(), tail.end());
    prompts.push_back(prompt);
  }
  const auto prefixes = find_prefixes(config, prompts, {.shares_prefixes = true});
  std::vector<int64_t> max_new_tokens(3, 20);
  for (const auto& prefix : prefixes) {
    if (prefix.length > 0) max_new_tokens[prefix.source] = 1;
  }
  REQUIRE(std::ranges::count(max_new_tokens, 1) == 2);
  REQUIRE(std::ranges::count(prefixes, 2, &SharedPrefix::phase) == 1);
  CHECK(greedy_texts(model, prompts, max_new_tokens, {.shares_prefixes = true}) ==
        greedy_texts_alone(model, prompts, max_new_tokens));
}

TEST_CASE("prompts on either side of the original context do not share keys", "[shared_prefix]") {
  for (auto config : tiny_configs()) {
    if (auto* dynamic = std::get_if<DynamicRopeScaling>(&config.rope.scaling)) {
      dynamic->original_max_position_embeddings = 40;
    } else if (auto* longrope = std::get_if<LongRopeScaling>(&config.rope.scaling)) {
      longrope->original_max_position_embeddings = 40;
    }
    const auto model = random_model(config);
    Random random(6);
    const auto header = random.tokens(36, config.vocab_size);
    std::vector<TokenIds> prompts;
    for (int64_t length : {41, 38, 50, 40, 41}) {
      auto prompt = header;
      // No two go on alike.
      prompt.push_back(static_cast<TokenId>(prompts.size()));
      prompt.resize(length, 7);
      prompts.push_back(prompt);
    }
    // dynamic: 41 with 41 and 38 with 40; longrope: all but one of each side; else all but one.
    const int64_t num_shared = std::holds_alternative<DynamicRopeScaling>(config.rope.scaling) ? 2
                               : std::holds_alternative<LongRopeScaling>(config.rope.scaling)  ? 3
                                                                                               : 4;
    const auto alone = prefill_alone(model, prompts, kCapacity);
    for (auto final_token : {FinalToken::kPrefill, FinalToken::kFirstStep}) {
      CAPTURE(config.rope.scaling.index(), to_string(final_token));
      RunStats stats;
      auto state = prefill(model, prompts, {.final_token = final_token, .shares_prefixes = true},
                           kCapacity, &stats);
      CHECK(stats.shared_tokens == num_shared * 36);
      decode_final_tokens(model, state);
      check_same_state(state, alone, tolerance(DType::kFloat32).logits);
    }
  }
}

TEST_CASE("the dense forms refuse to share beginnings", "[shared_prefix]") {
  const auto model = random_model(tiny_configs().front());
  const std::vector<TokenIds> prompts = {{1, 2}, {1, 3}};
  for (auto method : {PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    CHECK_THROWS_AS(prefill(model, prompts, {.method = method, .shares_prefixes = true}, 9),
                    InvalidArgument);
  }
}

TEST_CASE("prompts that share nothing are computed as without sharing", "[shared_prefix]") {
  const auto config = tiny_configs().front();
  const auto model = random_model(config);
  Random random(5);
  const auto prompts = random.prompts({9, 40, 3}, config.vocab_size);
  check_same_state(prefill(model, prompts, {.shares_prefixes = true}, kCapacity),
                   prefill(model, prompts, {}, kCapacity), 0);
}

}  // namespace
}  // namespace prepack
