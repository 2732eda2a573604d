#include "prepack/score.h"

#include <ATen/ops/log_softmax.h>

#include <cmath>
#include <limits>

#include "prepack/error.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/number_tokenizer.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

using testing::NumberTokenizer;
using testing::Random;

constexpr double kTolerance = 1e-4;  // per token

/// The definition: the logits after each prefix, each prefix run alone, and a log-softmax in
/// float64.
Score score_directly(const Model& model, const ScoreRequest& request) {
  Score score;
  for (auto i = request.first_scored; i < std::ssize(request.tokens); ++i) {
    const TokenIds prefix(request.tokens.begin(), request.tokens.begin() + i);
    const auto logits = prefill(model, {&prefix, 1}, {}, i).logits[0].to(at::kDouble);
    const auto target = request.tokens[i];
    score.log_likelihood += at::log_softmax(logits, 0)[target].item<double>();
    score.is_greedy = score.is_greedy && logits.argmax().item<int64_t>() == target;
    ++score.num_tokens;
  }
  return score;
}

void check_same_scores(const std::vector<Score>& actual, const std::vector<Score>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(actual[i].log_likelihood - expected[i].log_likelihood) <=
          kTolerance * static_cast<double>(std::max<int64_t>(expected[i].num_tokens, 1)));
    CHECK(actual[i].num_tokens == expected[i].num_tokens);
    CHECK(actual[i].is_greedy == expected[i].is_greedy);
  }
}

/// Of all lengths, scored from the start, from within, at the very end, and not at all; one of them
/// greedy.
std::vector<ScoreRequest> sample_requests(const Model& model, Random& random) {
  const int64_t vocab_size = model.config().vocab_size;
  std::vector<ScoreRequest> requests;
  for (const int64_t length : {1, 2, 3, 17, 40, 8, 2, 31}) {
    for (const int64_t first : {int64_t{1}, length / 2, length - 1, length}) {
      requests.push_back({random.tokens(length, vocab_size), std::max<int64_t>(first, 1)});
    }
  }
  ScoreRequest greedy{random.tokens(5, vocab_size), 5};
  for (int i = 0; i < 6; ++i) {
    const auto logits =
        prefill(model, {&greedy.tokens, 1}, {}, std::ssize(greedy.tokens)).logits[0];
    greedy.tokens.push_back(static_cast<TokenId>(logits.argmax().item<int64_t>()));
  }
  requests.push_back(greedy);
  greedy.first_scored = 1;  // what greedy decoding was given it would not have chosen
  requests.push_back(greedy);
  return requests;
}

TEST_CASE("packed sequences score as each alone where their RoPE depends on their lengths",
          "[score]") {
  for (const auto& config : testing::tiny_configs()) {
    if (!config.rope.depends_on_length()) continue;
    Random random(1);
    const auto model = testing::random_model(config);
    const auto requests = sample_requests(model, random);
    std::vector<Score> alone;
    for (const auto& request : requests) alone.push_back(score(model, {&request, 1})[0]);
    for (const auto method :
         {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
      check_same_scores(score(model, requests, {.method = method}), alone);
    }
    // All that is scored in one forward has its frequencies: of a token alone, its prefix's.
    for (size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].first_scored + 1 != std::ssize(requests[i].tokens)) continue;
      check_same_scores({alone[i]}, {score_directly(model, requests[i])});
    }
  }
}

TEST_CASE("packed sequences score as each prefix alone does in float64", "[score]") {
  for (const auto& config : testing::tiny_configs()) {
    if (config.rope.depends_on_length()) continue;  // a prefix alone has other frequencies
    Random random(1);
    const auto model = testing::random_model(config);
    const auto requests = sample_requests(model, random);
    std::vector<Score> expected;
    for (const auto& request : requests) expected.push_back(score_directly(model, request));
    CHECK(expected[expected.size() - 2].is_greedy);
    CHECK_FALSE(expected.back().is_greedy);
    for (const auto method :
         {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
      for (const int64_t budget : {4096, 90, 40}) {
        INFO(to_string(method) << ", " << budget << " tokens");
        check_same_scores(score(model, requests, {.method = method, .token_budget = budget}),
                          expected);
      }
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      check_same_scores(score(model, {&requests[i], 1}), {expected[i]});
    }
  }
}

TEST_CASE("logits that take several chunks give the same scores", "[score]") {
  auto config = testing::tiny_configs().front();
  config.vocab_size = 600'000;  // 27 tokens to a chunk
  config.hidden_size = 8;
  Random random(2);
  const auto model = testing::random_model(config);
  const std::vector<ScoreRequest> requests = {{random.tokens(60, config.vocab_size), 2},
                                              {random.tokens(9, config.vocab_size), 1}};
  std::vector<Score> expected;
  for (const auto& request : requests) expected.push_back(score_directly(model, request));
  check_same_scores(score(model, requests), expected);
}

TEST_CASE("progress counts every sequence once", "[score]") {
  Random random(3);
  const auto model = testing::random_model(testing::tiny_configs().front());
  const auto requests = sample_requests(model, random);
  int64_t last = 0;
  int num_calls = 0;
  score(model, requests, {.token_budget = 64}, [&](int64_t num_done) {
    CHECK(num_done > last);
    last = num_done;
    ++num_calls;
  });
  CHECK(last == std::ssize(requests));
  CHECK(num_calls > 1);
}

TEST_CASE("scores of the tiny models agree with transformers' logits", "[score]") {
  // The references' greedy tokens are what transformers chose.
  for (const auto& reference : testing::tiny_references()) {
    // Which gave each token the frequencies of the length by then.
    if (testing::load_once(reference).config().rope.depends_on_length()) continue;
    std::vector<ScoreRequest> requests;
    for (size_t i = 0; i < reference.prompts.size(); ++i) {
      auto tokens = reference.prompts[i];
      const auto first = std::ssize(tokens);
      tokens.insert(tokens.end(), reference.greedy[i].begin(), reference.greedy[i].end());
      requests.push_back({tokens, first});
    }
    const auto scores = score(testing::load_once(reference), requests);
    for (size_t i = 0; i < scores.size(); ++i) {
      CHECK(scores[i].is_greedy);
      CHECK(scores[i].num_tokens == std::ssize(reference.greedy[i]));
      CHECK(scores[i].log_likelihood < 0);
    }
  }
}

TEST_CASE("the worst that a request can be is named", "[score]") {
  const auto config = testing::tiny_configs().front();
  const auto model = testing::random_model(config);
  const auto message = [&](ScoreRequest request) {
    const std::vector<ScoreRequest> requests = {{{1, 2, 3}}, std::move(request)};
    try {
      score(model, requests);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  CHECK(message({{}}) == "sequence 1 is empty");
  CHECK_THAT(message({{1, 2}, 0}), ContainsSubstring("sequence 1 has 2 tokens, and is to be"));
  CHECK_THAT(message({{1, 2}, 3}), ContainsSubstring("scored from token 3 on"));
  CHECK_THAT(message({{1, 61}}), ContainsSubstring("token id 61, outside the vocabulary of 61"));
  CHECK_THAT(message({{61, 1}}), ContainsSubstring("token id 61"));
  CHECK_THAT(message({TokenIds(130, 1)}), ContainsSubstring("has 129 tokens, more than"));
  // The last token is not computed.
  CHECK(message({TokenIds(129, 1)}) == "none");
  // By its number among all, also where of others nothing is scored.
  const std::vector<ScoreRequest> requests = {{{1, 2}, 2}, {TokenIds(20, 1)}};
  CHECK_THROWS_WITH(score(model, requests, {.token_budget = 10}),
                    ContainsSubstring("sequence 1: its first 19 tokens"));
  CHECK_THROWS_AS(score(model, {}, {.shares_prefixes = true}), InvalidArgument);
  CHECK_THROWS_AS(score(model, {}, {.final_token = FinalToken::kFirstStep}), InvalidArgument);
  CHECK(score(model, {}).empty());
}

TEST_CASE("perplexity is of all tokens together", "[score]") {
  const std::vector<Score> scores = {{-std::log(2.0), 1, true}, {-3 * std::log(4.0), 3, true}, {}};
  CHECK(std::abs(perplexity(scores) - std::pow(2.0, 7.0 / 4)) < 1e-12);
  CHECK(std::isnan(perplexity({})));
}

TEST_CASE("windows score every token but the first once, with as much context as is asked for",
          "[score]") {
  Random random(4);
  for (int i = 0; i < 300; ++i) {
    const int64_t size = random.integer(2, 60);
    const int64_t context = random.integer(1, 25);
    const int64_t stride = random.integer(1, context);
    CAPTURE(size, context, stride);
    TokenIds text(size);
    for (int64_t t = 0; t < size; ++t) text[t] = static_cast<TokenId>(t);
    int64_t next = 1;
    const auto windows = score_windows(text, context, stride);
    for (size_t w = 0; w < windows.size(); ++w) {
      const auto& window = windows[w];
      const auto num_tokens = std::ssize(window.tokens);
      REQUIRE(window.first_scored >= 1);
      REQUIRE(window.first_scored < num_tokens);
      REQUIRE(num_tokens - 1 <= context);
      // Tokens are their own places in the text.
      REQUIRE(window.tokens[window.first_scored] == next);
      REQUIRE(window.tokens.back() - window.tokens.front() == num_tokens - 1);
      REQUIRE((window.tokens.front() == 0 || num_tokens - 1 == context));
      const int64_t num_scored = num_tokens - window.first_scored;
      if (w > 0 && w + 1 < windows.size()) REQUIRE(num_scored == stride);
      next += num_scored;
    }
    REQUIRE(next == size);
  }
}

TEST_CASE("windows that cannot be are refused", "[score]") {
  CHECK_THROWS_WITH(score_windows({1, 2, 3}, 0, 1), "context: expected 1 or more, got 0");
  CHECK_THROWS_WITH(score_windows({1, 2, 3}, 4, 5), "stride: expected 1 to 4 (the context), got 5");
  CHECK_THROWS_WITH(score_windows({1, 2, 3}, 4, 0), "stride: expected 1 to 4 (the context), got 0");
  CHECK_THROWS_WITH(score_windows({1}, 4, 4), ContainsSubstring("a text of 1 tokens"));
}

TEST_CASE("a prompt and its continuation are encoded together, and split by the prompt's tokens",
          "[score]") {
  const auto folder = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/models/llama-grouped";
  const auto tokenizer = load_tokenizer(folder);
  const auto config = load_model_config(folder);
  const auto request = [&](std::string_view prompt, std::string_view continuation) {
    return continuation_request(*tokenizer, config, prompt, continuation);
  };
  const auto check = [&](std::string_view prompt, std::string_view continuation,
                         std::string_view whole, std::string_view before) {
    CAPTURE(prompt, continuation);
    const auto made = request(prompt, continuation);
    auto expected = tokenizer->encode(before);
    CHECK(made.first_scored == std::ssize(expected));
    const auto all = tokenizer->encode(whole);
    expected.insert(expected.end(), all.begin() + std::ssize(expected), all.end());
    CHECK(made.tokens == expected);
  };
  check("The capital", " of France", "The capital of France", "The capital");
  // The space belongs to the continuation.
  check("The capital ", "of France", "The capital of France", "The capital");
  check("The capital \n ", "of", "The capital \n of", "The capital");
  CHECK(request("The capital ", "of France").tokens == tokenizer->encode("The capital of France"));
  // No boundary of words: whatever the whole is cut into, the first tokens are the prompt's own.
  check("The capi", "tal of France", "The capital of France", "The capi");
}

TEST_CASE("an empty prompt becomes the model's first token", "[score]") {
  const NumberTokenizer tokenizer(61);
  auto config = testing::tiny_configs().front();
  for (const auto* prompt : {"", " "}) {
    config.bos_token_id = 7;
    auto request = continuation_request(tokenizer, config, prompt, "4 5");
    CHECK(request.tokens.front() == 7);
    CHECK(request.first_scored == 1);
    config.bos_token_id.reset();
    CHECK(continuation_request(tokenizer, config, prompt, "4 5").tokens.front() ==
          config.eos_token_ids.front());
  }
  config.eos_token_ids.clear();
  CHECK_THROWS_WITH(continuation_request(tokenizer, config, "", "4 5"),
                    "the prompt is empty, and the model has no BOS token");
  CHECK_THROWS_WITH(continuation_request(tokenizer, config, "4 5", ""),
                    "the continuation has no tokens of its own");
}

TEST_CASE("the shape of a scoring job holds for each of its forwards", "[score]") {
  const auto config = testing::tiny_configs().front();
  const std::vector<int64_t> lengths = {30, 30, 5, 60};
  const auto shape = score_shape(config, lengths, {.token_budget = 64});
  CHECK(shape.max_forward_tokens <= 65);
  CHECK(shape.max_forward_tokens >= 60);
  CHECK(shape.cache_slots == shape.max_forward_tokens);
  CHECK(shape.num_scored == shape.max_forward_tokens);  // the vocabulary is small
  CHECK(score_shape(config, {}, {}).max_forward_tokens == 0);
}

}  // namespace
}  // namespace prepack
