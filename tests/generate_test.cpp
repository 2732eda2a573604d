#include "prepack/generate.h"

#include <algorithm>
#include <map>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/number_tokenizer.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

using testing::NumberTokenizer;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;

const NumberTokenizer kTokenizer(61);

Model tiny_model() { return random_model(tiny_configs().front(), 3); }

GenerationRequest request_for(TokenIds prompt, int64_t max_new_tokens) {
  return {.prompt_ids = std::move(prompt), .max_new_tokens = max_new_tokens, .ignore_eos = true};
}

GenerationResult generate_one(const Model& model, const GenerationRequest& request) {
  return generate(model, kTokenizer, {&request, 1}).at(0);
}

/// The text of the first `count` tokens as far as it is certain: without the space at the end.
std::string certain_text(const TokenIds& ids, size_t count) {
  auto text = kTokenizer.decode({ids.data(), count});
  if (!text.empty()) text.pop_back();
  return text;
}

TEST_CASE("the text is that of the tokens", "[generate]") {
  const auto result = generate_one(tiny_model(), request_for({4, 5, 6}, 9));
  CHECK(result.token_ids.size() == 9);
  CHECK(result.text == kTokenizer.decode(result.token_ids));
  CHECK(result.finish_reason == FinishReason::kLength);
}

TEST_CASE("tokens that the tokenizer does not have are kept, and stand for no text", "[generate]") {
  const NumberTokenizer small(20);
  const auto request = request_for({4, 5, 6}, 30);
  const auto result = generate(tiny_model(), small, {&request, 1}).at(0);
  CHECK(result.token_ids == generate_one(tiny_model(), request).token_ids);
  TokenIds known;
  std::ranges::copy_if(result.token_ids, std::back_inserter(known),
                       [&](TokenId id) { return small.contains(id); });
  CHECK(known.size() < result.token_ids.size());
  CHECK(result.text == small.decode(known));
}

TEST_CASE("the pieces given to the observer add up to the text", "[generate]") {
  const auto model = tiny_model();
  Random random(1);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 4; ++i) {
      auto request = request_for(random.tokens(random.integer(1, 9), 61), random.integer(1, 12));
      request.stop = {std::to_string(random.integer(0, 9)) + " " +
                      std::to_string(random.integer(0, 9))};
      requests.push_back(request);
    }
    std::map<int64_t, std::string> pieces;
    const auto on_text = [&](int64_t sequence, std::string_view text) {
      CHECK_FALSE(text.empty());
      pieces[sequence] += text;
    };
    const auto results = generate(model, kTokenizer, requests, {.batch_size = random.integer(0, 3)},
                                  {.on_text = on_text});
    for (size_t i = 0; i < results.size(); ++i) {
      CHECK(pieces[static_cast<int64_t>(i)] == results[i].text);
    }
  }
}

TEST_CASE("generation ends at a stop text, which may span tokens and is left out", "[generate]") {
  const auto model = tiny_model();
  Random random(2);
  int num_stopped = 0;
  for (int trial = 0; trial < 60; ++trial) {
    auto request = request_for(random.tokens(random.integer(1, 9), 61), 12);
    const auto all = generate_one(model, request).token_ids;
    const auto whole = kTokenizer.decode(all);
    // A part of the text: in one token, over several, or at the very end.
    const auto start = random.integer(0, static_cast<int64_t>(whole.size()) - 1);
    request.stop = {"no such text", whole.substr(start, random.integer(1, 8))};
    CAPTURE(whole, request.stop[1]);
    const auto result = generate_one(model, request);
    const auto stop = whole.find(request.stop[1]);
    REQUIRE(result.text == whole.substr(0, stop));
    REQUIRE(result.finish_reason == FinishReason::kStop);
    // No token is drawn after the one that completes the stop text.
    size_t needed = 1;
    while (needed < all.size() &&
           certain_text(all, needed).find(request.stop[1]) == std::string::npos) {
      ++needed;
    }
    REQUIRE(result.token_ids == TokenIds(all.begin(), all.begin() + static_cast<int64_t>(needed)));
    num_stopped += needed < all.size() ? 1 : 0;
  }
  CHECK(num_stopped > 20);
}

TEST_CASE("text that looked like a stop to the last is given at the end", "[generate]") {
  const auto model = tiny_model();
  auto request = request_for({4, 5, 6}, 5);
  const auto expected = generate_one(model, request);
  request.stop = {expected.text + "and more"};
  const auto result = generate_one(model, request);
  CHECK(result.text == expected.text);
  CHECK(result.finish_reason == FinishReason::kLength);
}

TEST_CASE("the model's EOS ids end a sequence, unless they are ignored", "[generate]") {
  auto config = tiny_configs().front();
  auto request = request_for({4, 5, 6}, 9);
  const auto all = generate_one(random_model(config, 3), request).token_ids;
  config.eos_token_ids = {all[4], 60};
  const auto model = random_model(config, 3);
  CHECK(generate_one(model, request).token_ids == all);
  request.ignore_eos = false;
  const auto result = generate_one(model, request);
  const auto end = std::ranges::find_if(all, [&](TokenId id) { return id == all[4] || id == 60; });
  CHECK(result.token_ids == TokenIds(all.begin(), end));
  CHECK(result.text == kTokenizer.decode(result.token_ids));
  CHECK(result.finish_reason == FinishReason::kStop);
}

TEST_CASE("every request of a batch gives what it gives alone, with every method", "[generate]") {
  const auto model = tiny_model();
  Random random(4);
  std::vector<GenerationRequest> requests;
  std::vector<TokenIds> prompts;
  for (uint64_t i = 0; i < 10; ++i) {
    auto request = request_for(random.tokens(random.integer(1, 30), 61), random.integer(1, 12));
    request.sampling.temperature = i % 2 == 0 ? 0 : 1;
    request.random_stream = i;
    request.ignore_eos = i % 3 == 0;
    request.stop = {std::to_string(random.integer(0, 9)) + " "};
    requests.push_back(request);
    prompts.push_back(request.prompt_ids);
  }
  for (const auto& [name, options] : testing::prefill_variants(prompts)) {
    INFO(name);
    for (const int64_t batch_size : {0, 1, 3}) {
      CAPTURE(batch_size);
      const auto results =
          generate(model, kTokenizer, requests, {.prefill = options, .batch_size = batch_size});
      REQUIRE(results.size() == requests.size());
      for (size_t i = 0; i < requests.size(); ++i) {
        const auto alone = generate_one(model, requests[i]);
        CHECK(results[i].token_ids == alone.token_ids);
        CHECK(results[i].text == alone.text);
        CHECK(results[i].finish_reason == alone.finish_reason);
      }
    }
  }
}

TEST_CASE("a sequence ends where the model's positions end", "[generate]") {
  auto config = tiny_configs().front();
  config.max_position_embeddings = 10;
  const auto model = random_model(config);
  for (const auto& [prompt_len, expected] : {std::pair{8, 3}, {9, 2}, {10, 1}}) {
    const auto result = generate_one(model, request_for(TokenIds(prompt_len, 5), 100));
    CHECK(result.token_ids.size() == static_cast<size_t>(expected));
    CHECK(result.finish_reason == FinishReason::kLength);
  }
}

TEST_CASE("cache rows are as long as the longest sequence may become, less its last token",
          "[generate]") {
  auto config = tiny_configs().front();
  const std::vector<GenerationRequest> requests = {request_for(TokenIds(30, 1), 2),
                                                   request_for(TokenIds(5, 1), 40)};
  CHECK(cache_capacity(config, requests) == 44);
  config.max_position_embeddings = 32;
  CHECK(cache_capacity(config, requests) == 32);
  CHECK(cache_capacity(config, {}) == 0);
}

TEST_CASE("the slots that may be written are those of every sequence, not of the longest",
          "[generate]") {
  auto config = tiny_configs().front();
  const std::vector<GenerationRequest> requests = {request_for(TokenIds(30, 1), 2),
                                                   request_for(TokenIds(5, 1), 40)};
  CHECK(num_cache_slots(config, requests) == 31 + 44);
  config.max_position_embeddings = 32;
  CHECK(num_cache_slots(config, requests) == 31 + 32);
  CHECK(num_cache_slots(config, {}) == 0);
}

TEST_CASE("the most slots of so many requests in a row are found wherever they begin",
          "[generate]") {
  const auto config = tiny_configs().front();
  std::vector<GenerationRequest> requests;
  for (int64_t length : {1, 30, 20, 1, 40}) requests.push_back(request_for(TokenIds(length, 1), 1));
  CHECK(num_cache_slots(config, requests, 1) == 40);
  CHECK(num_cache_slots(config, requests, 2) == 50);
  CHECK(num_cache_slots(config, requests, 3) == 61);
  CHECK(num_cache_slots(config, requests, 5) == 92);
  CHECK(num_cache_slots(config, requests, 9) == 92);
  CHECK(num_cache_slots(config, {}, 2) == 0);
}

TEST_CASE("the counts of a whole run are added up", "[generate]") {
  const auto model = tiny_model();
  const std::vector<GenerationRequest> requests = {request_for({1, 2, 3}, 4),
                                                   request_for({4, 5}, 6)};
  RunStats stats;
  generate(model, kTokenizer, requests, {}, {}, &stats);
  CHECK(stats.num_prompts == 2);
  CHECK(stats.prompt_tokens == 5);
  CHECK(stats.generated_tokens == 10);
  CHECK(stats.decode_steps == 6);
  CHECK(stats.ttft_s >= stats.prefill_s);
  CHECK(stats.prefill_s > 0);
}

TEST_CASE("each result is told once, as soon as it is there", "[generate]") {
  const auto model = tiny_model();
  Random random(5);
  std::vector<GenerationRequest> requests;
  for (int64_t length : {9, 2, 6, 1, 4, 3}) {
    requests.push_back(request_for(random.tokens(10 - length, 61), length));
  }
  for (const bool refills : {true, false}) {
    std::vector<int64_t> order;
    std::map<int64_t, std::string> told;
    const auto results =
        generate(model, kTokenizer, requests, {.batch_size = 3, .refills = refills},
                 {.on_result = [&](int64_t sequence, const GenerationResult& result) {
                   order.push_back(sequence);
                   told[sequence] = result.text;
                 }});
    // After two tokens 1 leaves: 3 joins, with its only one, and so does 4. When that has its four,
    // 5 joins, and when that has its three, 2 has had six, and 0 has seven of its nine.
    CHECK(order == (refills ? std::vector<int64_t>{1, 3, 4, 2, 5, 0}
                            : std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
    for (int64_t i = 0; i < 6; ++i) CHECK(told.at(i) == results[i].text);
  }
}

TEST_CASE("a prompt that does not fit the budget is named by its number among all", "[generate]") {
  const std::vector<GenerationRequest> requests = {request_for({1}, 1), request_for({1, 2}, 1),
                                                   request_for({1, 2, 3}, 1)};
  RunStats stats;
  CHECK_THROWS_WITH(generate(tiny_model(), kTokenizer, requests,
                             {.prefill = {.token_budget = 2}, .batch_size = 1}, {}, &stats),
                    ContainsSubstring("prompt 2"));
  CHECK(stats.num_prompts == 0);
}

TEST_CASE("no requests give no results", "[generate]") {
  CHECK(generate(tiny_model(), kTokenizer, {}).empty());
}

TEST_CASE("a defective request is named", "[generate]") {
  const auto model = tiny_model();
  const auto check_refused = [&](GenerationRequest defective, const std::string& message) {
    const std::vector<GenerationRequest> requests = {request_for({1, 2}, 3), std::move(defective)};
    CHECK_THROWS_AS(generate(model, kTokenizer, requests), InvalidArgument);
    CHECK_THROWS_WITH(generate(model, kTokenizer, requests), ContainsSubstring(message));
  };
  check_refused(request_for({}, 3), "prompt 1 is empty");
  check_refused(request_for(TokenIds(129, 1), 3), "prompt 1 has 129 tokens");
  check_refused(request_for({61}, 3), "prompt 1 has token id 61");
  check_refused(request_for({5}, 0), "prompt 1: max_new_tokens");
  auto request = request_for({5}, 3);
  request.sampling.top_p = 2;
  check_refused(request, "prompt 1: top_p");
  CHECK_THROWS_WITH(generate(model, kTokenizer, {}, {.batch_size = -1}),
                    ContainsSubstring("batch_size: expected 0 or more, got -1"));
}

TEST_CASE("a batch that does not fit the memory is halved until it does, with the same results",
          "[generate]") {
  // Slots of which one row can be mapped, and no two: they are taken when they are written.
  constexpr int64_t kSlots = 180'000'000'000;
  auto config = tiny_configs().front();
  const auto usual = random_model(config, 3);
  config.max_position_embeddings = 2 * kSlots;
  const auto model = random_model(config, 3);
  Random random(4);
  std::vector<GenerationRequest> requests;
  std::vector<GenerationResult> expected;
  for (int64_t length : {5, 9, 2}) {
    requests.push_back(request_for(random.tokens(length, 61), 40));
    requests.back().stop = {"3"};
    expected.push_back(generate_one(usual, requests.back()));
    CHECK(expected.back().finish_reason == FinishReason::kStop);
    requests.back().max_new_tokens = kSlots;
  }
  RunStats stats;
  std::map<int64_t, std::string> observed;
  const auto on_text = [&](int64_t sequence, std::string_view piece) {
    observed[sequence] += piece;
  };
  const auto results = generate(model, kTokenizer, requests, {}, {.on_text = on_text}, &stats);
  REQUIRE(results.size() == 3);
  for (size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].token_ids == expected[i].token_ids);
    CHECK(results[i].text == expected[i].text);
    CHECK(observed[static_cast<int64_t>(i)] == expected[i].text);
  }
  CHECK(stats.num_splits == 2);
  CHECK(stats.num_prompts == 3);
}

TEST_CASE("a request that does not fit alone is an error", "[generate]") {
  auto config = tiny_configs().front();
  config.max_position_embeddings = int64_t{1} << 50;
  const std::vector<GenerationRequest> requests(3, request_for({4, 5}, int64_t{1} << 49));
  CHECK_THROWS_AS(generate(random_model(config, 3), kTokenizer, requests), OutOfMemory);
}

}  // namespace
}  // namespace prepack
