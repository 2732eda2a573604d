#include "prepack/decode.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "prepack/error.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

using testing::prefill_variants;
using testing::Random;
using testing::random_model;
using testing::tiny_configs;

Model tiny_model() { return random_model(tiny_configs().front()); }

/// One prompt and how its sequence is to end.
struct Job {
  TokenIds prompt;
  int64_t max_new_tokens = 1;
  std::vector<TokenId> stop_ids = {};
  TokenId last_token = -1;  // the observer ends the sequence after this token
  SamplingParams sampling = {};
  uint64_t stream = 0;
};

struct Outcome {
  std::vector<TokenIds> token_ids;
  std::vector<std::string> finish_reasons;  // "stop" or "length"
  std::map<int64_t, TokenIds> observed;

  bool operator==(const Outcome&) const = default;
};

int64_t slots_for(const std::vector<Job>& jobs) {
  int64_t capacity = 0;
  for (const auto& job : jobs) {
    capacity = std::max(capacity, static_cast<int64_t>(job.prompt.size()) + job.max_new_tokens - 1);
  }
  return capacity;
}

Outcome run(const Model& model, const std::vector<Job>& jobs, const PrefillOptions& options = {},
            RunStats* stats = nullptr) {
  std::vector<TokenIds> prompts;
  std::vector<DecodeRequest> requests;
  for (const auto& job : jobs) {
    prompts.push_back(job.prompt);
    requests.push_back(
        {Sampler(job.sampling, job.stream, job.prompt), job.max_new_tokens, job.stop_ids});
  }
  Outcome outcome;
  const auto observer = [&](int64_t sequence, TokenId token) {
    outcome.observed[sequence].push_back(token);
    return token != jobs[sequence].last_token;
  };
  auto state = prefill(model, prompts, options, slots_for(jobs));
  for (auto& sequence : decode(model, std::move(state), requests, observer, stats)) {
    outcome.token_ids.push_back(std::move(sequence.token_ids));
    outcome.finish_reasons.emplace_back(to_string(sequence.finish_reason));
  }
  return outcome;
}

/// Each job by itself, put together.
Outcome run_alone(const Model& model, const std::vector<Job>& jobs) {
  Outcome together;
  for (size_t i = 0; i < jobs.size(); ++i) {
    auto alone = run(model, {jobs[i]});
    together.token_ids.push_back(alone.token_ids.at(0));
    together.finish_reasons.push_back(alone.finish_reasons.at(0));
    if (alone.observed.contains(0)) together.observed[static_cast<int64_t>(i)] = alone.observed[0];
  }
  return together;
}

/// Jobs whose sequences end in every way and at different steps, many of them at once.
std::vector<Job> random_jobs(Random& random, int64_t count, int64_t vocab_size) {
  std::vector<Job> jobs;
  for (int64_t i = 0; i < count; ++i) {
    jobs.push_back({
        .prompt = random.tokens(random.integer(1, 20), vocab_size),
        .max_new_tokens = random.integer(1, 14),
        .stop_ids = random.tokens(random.integer(0, 5), vocab_size),
        .last_token = static_cast<TokenId>(random.integer(-3, vocab_size - 1)),
        .sampling = {.temperature = random.integer(0, 1) == 0 ? 0.0F : 1.0F,
                     .repetition_penalty = random.integer(0, 3) == 0 ? 1.3F : 1.0F,
                     .seed = static_cast<uint64_t>(random.integer(0, 3))},
        .stream = static_cast<uint64_t>(i),
    });
  }
  return jobs;
}

TEST_CASE("a batch whose sequences end at different steps generates what each does alone",
          "[decode]") {
  std::map<std::string, int> num_finished;
  for (const auto& config : tiny_configs()) {
    for (uint64_t seed = 0; seed < 12; ++seed) {
      CAPTURE(config.num_heads, seed);
      const auto model = random_model(config, seed);
      Random random(seed);
      const auto jobs = random_jobs(random, random.integer(2, 12), config.vocab_size);
      const auto batch = run(model, jobs);
      const auto alone = run_alone(model, jobs);
      CHECK(batch.token_ids == alone.token_ids);
      CHECK(batch.finish_reasons == alone.finish_reasons);
      CHECK(batch.observed == alone.observed);
      for (const auto& reason : batch.finish_reasons) ++num_finished[reason];
    }
  }
  CHECK(num_finished["stop"] > 20);
  CHECK(num_finished["length"] > 20);
}

TEST_CASE("whatever the prefill method, the same tokens are generated", "[decode]") {
  for (const auto& config : tiny_configs()) {
    CAPTURE(config.num_heads);
    const auto model = random_model(config, 21);
    Random random(21);
    const auto jobs = random_jobs(random, 8, config.vocab_size);
    const auto alone = run_alone(model, jobs);
    std::vector<TokenIds> prompts;
    for (const auto& job : jobs) prompts.push_back(job.prompt);
    for (const auto& [name, options] : prefill_variants(prompts)) {
      INFO(name);
      CHECK(run(model, jobs, options) == alone);
    }
  }
}

TEST_CASE("whatever the order of the prompts, each generates the same tokens", "[decode]") {
  const auto model = tiny_model();
  Random random(22);
  const auto jobs = random_jobs(random, 9, 61);
  const auto expected = run(model, jobs);
  std::vector<size_t> order(jobs.size());
  std::iota(order.begin(), order.end(), 0);
  for (int trial = 0; trial < 6; ++trial) {
    random.shuffle(order);
    std::vector<Job> shuffled;
    for (size_t i : order) shuffled.push_back(jobs[i]);
    const auto outcome = run(model, shuffled);
    for (size_t i = 0; i < order.size(); ++i) {
      CHECK(outcome.token_ids[i] == expected.token_ids[order[i]]);
      CHECK(outcome.finish_reasons[i] == expected.finish_reasons[order[i]]);
    }
  }
}

TEST_CASE("rows leave the batch in any order: first, last, from the middle, all at once",
          "[decode]") {
  const auto model = tiny_model();
  Random random(23);
  for (const auto& steps : std::vector<std::vector<int64_t>>{{1, 2, 3, 4, 5},
                                                             {5, 4, 3, 2, 1},
                                                             {3, 1, 5, 1, 3},
                                                             {1, 1, 1, 1, 6},
                                                             {6, 1, 1, 1, 1},
                                                             {4, 4, 4, 4, 4},
                                                             {2, 6, 2, 6, 2}}) {
    CAPTURE(steps);
    std::vector<Job> jobs;
    for (int64_t max_new_tokens : steps) {
      jobs.push_back({random.tokens(random.integer(1, 12), 61), max_new_tokens});
    }
    const auto outcome = run(model, jobs);
    CHECK(outcome == run_alone(model, jobs));
    for (size_t i = 0; i < steps.size(); ++i) {
      CHECK(static_cast<int64_t>(outcome.token_ids[i].size()) == steps[i]);
    }
  }
}

TEST_CASE("decoding over the cache gives what a fresh prefill of the longer text gives",
          "[decode]") {
  for (const auto& config : tiny_configs()) {
    // A fresh prefill of a longer text turns its keys by other frequencies; the ladder compares
    // these types with what transformers generates.
    if (config.rope.depends_on_length()) continue;
    CAPTURE(config.num_heads);
    const auto model = random_model(config, 5);
    Random random(24);
    std::vector<Job> jobs;
    for (int64_t length : {1, 13, 4})
      jobs.push_back({random.tokens(length, config.vocab_size), 10});
    const auto outcome = run(model, jobs);
    for (size_t i = 0; i < jobs.size(); ++i) {
      auto text = jobs[i].prompt;
      for (TokenId token : outcome.token_ids[i]) {
        const auto state = prefill(model, {&text, 1}, {}, static_cast<int64_t>(text.size()));
        REQUIRE(state.logits.argmax(1).item<int64_t>() == token);
        text.push_back(token);
      }
    }
  }
}

TEST_CASE("a prompt draws the same tokens alone and amid any neighbours", "[decode]") {
  const auto model = tiny_model();
  Random random(25);
  for (uint64_t stream = 0; stream < 10; ++stream) {
    const Job job{.prompt = random.tokens(7, 61),
                  .max_new_tokens = 12,
                  .sampling = {.temperature = 1, .seed = 9},
                  .stream = stream};
    const auto alone = run(model, {job}).token_ids[0];
    auto jobs = random_jobs(random, 6, 61);
    jobs.insert(jobs.begin() + random.integer(0, 6), job);
    const auto place = std::ranges::find(jobs, job.prompt, &Job::prompt) - jobs.begin();
    CHECK(run(model, jobs).token_ids[place] == alone);
  }
}

TEST_CASE("sequences of the same prompt on different streams part ways", "[decode]") {
  const auto model = tiny_model();
  std::vector<Job> jobs;
  for (uint64_t stream = 0; stream < 5; ++stream) {
    jobs.push_back({.prompt = {4, 5},
                    .max_new_tokens = 12,
                    .sampling = {.temperature = 1.5F},
                    .stream = stream});
  }
  auto token_ids = run(model, jobs).token_ids;
  std::ranges::sort(token_ids);
  CHECK(std::ranges::adjacent_find(token_ids) == token_ids.end());
}

TEST_CASE("a stop id ends a sequence, and is neither kept nor observed", "[decode]") {
  const auto model = tiny_model();
  const Job job{.prompt = {4, 5, 6}, .max_new_tokens = 8};
  const auto all = run(model, {job}).token_ids[0];
  REQUIRE(all.size() == 8);
  for (size_t n = 0; n < all.size(); ++n) {
    auto stopped = job;
    stopped.stop_ids = {60, all[n]};
    const auto outcome = run(model, {stopped});
    const auto first =
        std::ranges::find_if(all, [&](TokenId id) { return id == all[n] || id == 60; });
    const TokenIds expected(all.begin(), first);
    CHECK(outcome.token_ids[0] == expected);
    CHECK(outcome.finish_reasons[0] == "stop");
    CHECK((expected.empty() ? outcome.observed.empty() : outcome.observed.at(0) == expected));
  }
}

TEST_CASE("a sequence that reaches its length ends there", "[decode]") {
  const auto model = tiny_model();
  for (int64_t max_new_tokens : {1, 2, 7}) {
    const auto outcome = run(model, {{{4, 5, 6}, max_new_tokens}});
    CHECK(static_cast<int64_t>(outcome.token_ids[0].size()) == max_new_tokens);
    CHECK(outcome.finish_reasons[0] == "length");
  }
}

TEST_CASE("the observer ends a sequence, and its last token is kept", "[decode]") {
  const auto model = tiny_model();
  const Job job{.prompt = {4, 5, 6}, .max_new_tokens = 8};
  const auto all = run(model, {job}).token_ids[0];
  auto ended = job;
  ended.last_token = all[3];
  const auto outcome = run(model, {ended});
  const auto end = std::ranges::find(all, all[3]) + 1;
  CHECK(outcome.token_ids[0] == TokenIds(all.begin(), end));
  CHECK(outcome.finish_reasons[0] == "stop");
}

TEST_CASE("decode counts its steps and tokens", "[decode]") {
  const auto model = tiny_model();
  RunStats stats;
  run(model, {{{4, 5, 6}, 3}, {{7}, 5}, {{8, 9}, 1}}, {}, &stats);
  CHECK(stats.decode_steps == 5);
  CHECK(stats.generated_tokens == 9);
  CHECK(stats.ttft_s > 0);
  CHECK(stats.decode_s > 0);
  run(model, {{{4, 5, 6}, 2}}, {}, &stats);
  CHECK(stats.decode_steps == 7);
  CHECK(stats.generated_tokens == 11);
}

TEST_CASE("stats are added field by field", "[decode]") {
  const RunStats one{.prefill_s = 1,
                     .ttft_s = 2,
                     .decode_s = 3,
                     .num_prompts = 4,
                     .prompt_tokens = 5,
                     .computed_tokens = 6,
                     .shared_tokens = 11,
                     .num_rows = 7,
                     .num_forwards = 8,
                     .generated_tokens = 9,
                     .decode_steps = 10,
                     .num_splits = 12,
                     .num_replays = 13,
                     .graph_failure = "the first"};
  RunStats sum = one;
  sum += one;
  sum += {.graph_failure = "the second"};
  CHECK(sum.prefill_s == 2);
  CHECK(sum.ttft_s == 4);
  CHECK(sum.decode_s == 6);
  CHECK(sum.num_prompts == 8);
  CHECK(sum.prompt_tokens == 10);
  CHECK(sum.computed_tokens == 12);
  CHECK(sum.shared_tokens == 22);
  CHECK(sum.num_rows == 14);
  CHECK(sum.num_forwards == 16);
  CHECK(sum.generated_tokens == 18);
  CHECK(sum.decode_steps == 20);
  CHECK(sum.num_splits == 24);
  CHECK(sum.num_replays == 26);
  CHECK(sum.graph_failure == "the first");
  RunStats none;
  none += one;
  CHECK(none.graph_failure == "the first");
}

DecodeState state_of(const Model& model, const std::vector<TokenIds>& prompts, int64_t capacity) {
  return prefill(model, prompts, {}, capacity);
}

std::vector<DecodeRequest> greedy_requests(int64_t count, int64_t max_new_tokens) {
  return std::vector<DecodeRequest>(count, {Sampler({}, 0, {}), max_new_tokens});
}

TEST_CASE("as many requests as sequences are required", "[decode]") {
  const auto model = tiny_model();
  for (int64_t count : {0, 1, 3}) {
    auto requests = greedy_requests(count, 1);
    CHECK_THROWS_AS(decode(model, state_of(model, {{1}, {2}}, 9), requests), InvalidArgument);
    CHECK_THROWS_WITH(decode(model, state_of(model, {{1}, {2}}, 9), requests),
                      ContainsSubstring(std::to_string(count) + " requests for 2 sequences"));
  }
}

TEST_CASE("a cache row too short for its sequence is refused before anything is drawn",
          "[decode]") {
  const auto model = tiny_model();
  const std::vector<TokenIds> prompts = {{1, 2}, {1, 2, 3, 4, 5}};
  bool drawn = false;
  const auto observer = [&](int64_t, TokenId) { return drawn = true; };
  auto too_many = greedy_requests(2, 5);
  CHECK_THROWS_AS(decode(model, state_of(model, prompts, 8), too_many, observer), InvalidArgument);
  CHECK_THROWS_WITH(decode(model, state_of(model, prompts, 8), too_many, observer),
                    ContainsSubstring("sequence 1: 9 cache slots needed, 8 there"));
  too_many[1].max_new_tokens = std::numeric_limits<int64_t>::max();
  CHECK_THROWS_AS(decode(model, state_of(model, prompts, 8), too_many, observer), InvalidArgument);
  CHECK_FALSE(drawn);
  // The last token drawn is never fed back, so it needs no slot.
  auto just_enough = greedy_requests(2, 4);
  CHECK_NOTHROW(decode(model, state_of(model, prompts, 8), just_enough));
}

TEST_CASE("a request for no tokens is refused", "[decode]") {
  const auto model = tiny_model();
  auto requests = greedy_requests(2, 3);
  requests[1].max_new_tokens = 0;
  CHECK_THROWS_AS(decode(model, state_of(model, {{1}, {2}}, 9), requests), InvalidArgument);
  CHECK_THROWS_WITH(decode(model, state_of(model, {{1}, {2}}, 9), requests),
                    ContainsSubstring("sequence 1: max_new_tokens"));
}

TEST_CASE("no sequences decode to nothing", "[decode]") {
  const auto model = tiny_model();
  CHECK(decode(model, state_of(model, {}, 1), {}).empty());
}

TEST_CASE("each row is sampled by its own sampler", "[decode]") {
  auto logits = at::tensor({0.0F, 2.0F, 1.0F, 5.0F, 4.0F, 1.0F}).view({2, 3});
  Sampler plain({}, 0, {});
  Sampler penalised({.repetition_penalty = 10}, 0, {0});
  Sampler* const samplers[] = {&plain, &penalised};
  CHECK(sample_rows(logits, samplers) == TokenIds{1, 1});
}

TEST_CASE("finish reasons have names", "[decode]") {
  CHECK(to_string(FinishReason::kStop) == "stop");
  CHECK(to_string(FinishReason::kLength) == "length");
}

}  // namespace
}  // namespace prepack
