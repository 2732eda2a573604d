// Memory that runs out somewhere in the work: LibTorch's own, through an allocator that lets it.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "prepack/decode.h"
#include "prepack/error.h"
#include "prepack/generate.h"
#include "prepack/prefill.h"
#include "prepack/score.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/number_tokenizer.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/watched_allocator.h"

namespace prepack {
namespace {

using testing::BitEqual;
using testing::FailingAllocator;
using testing::NumberTokenizer;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;
using testing::ways_to_run_out;

const NumberTokenizer kTokenizer(61);

Model tiny_model() { return random_model(tiny_configs().front(), 3); }

TEST_CASE("memory that runs out is an error of the library, whatever throws it",
          "[out_of_memory]") {
  const auto model = tiny_model();
  const std::vector<TokenIds> prompts = {{1, 2, 3}, {4, 5}};
  const std::vector<ScoreRequest> to_score = {{{1, 2, 3}}, {{4, 5}}};
  const auto folder = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/models/llama-biased";
  for (const auto& way : ways_to_run_out()) {
    FailingAllocator memory;
    memory.run_out_after(0, way);
    CHECK_THROWS_AS(load_model(folder), OutOfMemory);
    for (int64_t countdown : {0, 3, 20}) {
      CAPTURE(countdown);
      memory.run_out_after(countdown, way);
      CHECK_THROWS_AS(prefill(model, prompts, {}, 9), OutOfMemory);
      memory.run_out_after(countdown, way);
      CHECK_THROWS_AS(score(model, to_score), OutOfMemory);
    }
    auto state = prefill(model, prompts, {}, 9);
    std::vector<DecodeRequest> requests(2, {Sampler({}, 0, {}), 5});
    const auto observer = [&](int64_t, TokenId) {
      memory.run_out_after(0, way);
      return true;
    };
    CHECK_THROWS_AS(decode(model, std::move(state), requests, observer), OutOfMemory);
  }
}

TEST_CASE("other errors stay what they are", "[out_of_memory]") {
  const auto model = tiny_model();
  FailingAllocator memory;
  memory.run_out_after(9, [] { TORCH_CHECK(false, "something else"); });
  CHECK_THROWS_AS(prefill(model, std::vector<TokenIds>{{1, 2, 3}}, {}, 9), c10::Error);
}

TEST_CASE("final tokens can be decoded once there is memory again", "[out_of_memory]") {
  const auto model = tiny_model();
  const std::vector<TokenIds> prompts = {{1, 2, 3}, {4, 5}};
  const PrefillOptions options{.final_token = FinalToken::kFirstStep};
  auto expected = prefill(model, prompts, options, 9);
  decode_final_tokens(model, expected);
  auto state = prefill(model, prompts, options, 9);
  FailingAllocator memory;
  for (int64_t countdown : {0, 5, 10}) {
    memory.run_out_after(countdown, ways_to_run_out().front());
    CHECK_THROWS_AS(decode_final_tokens(model, state), OutOfMemory);
  }
  decode_final_tokens(model, state);
  CHECK(state.lengths == expected.lengths);
  CHECK_THAT(state.logits, BitEqual(expected.logits));
}

/// What became of a batch, and of its texts.
struct Outcome {
  std::optional<std::vector<GenerationResult>> results;  // none: memory did not suffice
  std::map<int64_t, std::string> observed;
  int64_t num_told = 0;  // results
  RunStats stats;
  bool ran_out = false;
};

Outcome generate_until(int64_t countdown, const std::function<void()>& way, bool observes,
                       const Model& model, std::span<const GenerationRequest> requests,
                       const GenerationOptions& options = {}) {
  FailingAllocator memory;
  memory.run_out_after(countdown, way);
  Outcome outcome;
  TextObserver observer;
  if (observes) {
    observer = [&](int64_t sequence, std::string_view text) { outcome.observed[sequence] += text; };
  }
  try {
    const auto count = [&](int64_t, const GenerationResult&) { ++outcome.num_told; };
    outcome.results = generate(model, kTokenizer, requests, options,
                               {.on_text = observer, .on_result = count}, &outcome.stats);
  } catch (const OutOfMemory&) {
  }
  outcome.ran_out = memory.has_run_out();
  return outcome;
}

std::vector<GenerationRequest> some_requests() {
  Random random(4);
  std::vector<GenerationRequest> requests;
  for (int64_t length : {5, 9, 2}) {
    requests.push_back({.prompt_ids = random.tokens(length, 61),
                        .max_new_tokens = length,
                        .sampling = {.temperature = 1},
                        .ignore_eos = true,
                        .random_stream = static_cast<uint64_t>(length)});
  }
  return requests;
}

constexpr int64_t kStride = 3;  // between the allocations that fail

TEST_CASE("batches are halved wherever memory runs out, as long as no text was observed",
          "[out_of_memory]") {
  const auto model = tiny_model();
  const auto requests = some_requests();
  const auto expected = generate(model, kTokenizer, requests);
  for (const GenerationOptions& options :
       {GenerationOptions{}, GenerationOptions{.refills = false},
        GenerationOptions{.batch_size = 2}, GenerationOptions{.batch_size = 2, .refills = false}}) {
    CAPTURE(options.batch_size, options.refills);
    int64_t num_halved = 0;
    for (int64_t countdown = 0;; countdown += kStride) {
      const auto way = ways_to_run_out()[countdown % 4];
      const auto outcome =
          generate_until(countdown, way, /*observes=*/false, model, requests, options);
      if (!outcome.ran_out) break;
      // The rest of three, where batches of two are not refilled, has nothing to be halved.
      if (!outcome.results && options.batch_size == 2 && !options.refills) {
        CHECK(outcome.num_told == 2);
        break;
      }
      CAPTURE(countdown);
      ++num_halved;
      REQUIRE(outcome.results.has_value());
      CHECK(outcome.stats.num_splits == 1);
      CHECK(outcome.stats.num_prompts == 3);
      CHECK(outcome.stats.prompt_tokens == 16);
      CHECK(outcome.stats.generated_tokens == 16);
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(outcome.results->at(i).token_ids == expected[i].token_ids);
      }
    }
    CHECK(num_halved > 20);
  }
}

TEST_CASE("where memory runs out after text was observed, none is observed twice",
          "[out_of_memory]") {
  const auto model = tiny_model();
  const auto requests = some_requests();
  const auto expected = generate(model, kTokenizer, requests);
  int64_t num_halved = 0;
  int64_t num_refused = 0;
  for (int64_t countdown = 0;; countdown += kStride) {
    const auto way = ways_to_run_out().front();
    auto outcome = generate_until(countdown, way, /*observes=*/true, model, requests);
    if (!outcome.ran_out) break;
    CAPTURE(countdown);
    (outcome.results ? num_halved : num_refused) += 1;
    CHECK(outcome.results.has_value() == (outcome.stats.num_splits == 1));
    CHECK((outcome.results || !outcome.observed.empty()));
    for (int64_t i = 0; i < std::ssize(expected); ++i) {
      const auto& text = expected[i].text;
      const auto& observed = outcome.observed[i];
      CAPTURE(text, observed);
      CHECK((outcome.results ? observed == text : text.starts_with(observed)));
    }
  }
  CHECK(num_halved > 5);
  CHECK(num_refused > 5);
}

TEST_CASE("an observer that runs out of memory is not asked again", "[out_of_memory]") {
  int num_calls = 0;
  const auto run_out = [&](auto...) {
    ++num_calls;
    throw OutOfMemory("the caller's");
  };
  for (const bool refills : {true, false}) {
    for (const auto& observers :
         {GenerationObservers{.on_text = run_out}, GenerationObservers{.on_result = run_out}}) {
      num_calls = 0;
      CHECK_THROWS_WITH(
          generate(tiny_model(), kTokenizer, some_requests(), {.refills = refills}, observers),
          "the caller's");
      CHECK(num_calls == 1);
    }
  }
}

}  // namespace
}  // namespace prepack
