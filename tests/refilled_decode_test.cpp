#include "runtime/refilled_decode.h"

#include <map>
#include <set>

#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

using testing::Random;
using testing::random_model;
using testing::tiny_configs;

struct Job {
  TokenIds prompt;
  DecodeRequest request;
  TokenId last_token = -1;  // the observer ends the sequence after this token
};

/// Jobs whose sequences end in every way, after one token and after many.
std::vector<Job> random_jobs(Random& random, int64_t count, int64_t vocab_size) {
  std::vector<Job> jobs;
  for (int64_t i = 0; i < count; ++i) {
    auto prompt = random.tokens(random.integer(1, 20), vocab_size);
    const SamplingParams sampling{.temperature = random.integer(0, 1) == 0 ? 0.0F : 1.0F,
                                  .repetition_penalty = random.integer(0, 3) == 0 ? 1.3F : 1.0F};
    const Sampler sampler(sampling, static_cast<uint64_t>(i), prompt);
    jobs.push_back({std::move(prompt),
                    {sampler, random.integer(0, 2) == 0 ? 1 : random.integer(1, 25),
                     random.tokens(random.integer(0, 2), vocab_size)},
                    static_cast<TokenId>(random.integer(-3, vocab_size - 1))});
  }
  return jobs;
}

DecodedSequence decode_alone(const Model& model, const Job& job) {
  std::vector<DecodeRequest> request = {job.request};
  const auto capacity = std::ssize(job.prompt) + job.request.max_new_tokens - 1;
  return decode(model, prefill(model, {&job.prompt, 1}, {}, capacity), request,
                [&](int64_t, TokenId token) { return token != job.last_token; })
      .at(0);
}

/// Runs the jobs, and checks that each gives what it gives alone, and that never more are begun and
/// not finished than a batch may have.
/// @param cache_slots  0: as many as all need
RunStats check_jobs(const Model& model, const std::vector<Job>& jobs, int64_t batch_size,
                    int64_t cache_slots = 0, const PrefillOptions& options = {}) {
  std::vector<TokenIds> prompts;
  std::vector<DecodeRequest> requests;
  for (const auto& job : jobs) {
    prompts.push_back(job.prompt);
    requests.push_back(job.request);
  }
  const auto needs = [](const Job& job) {
    return std::ssize(job.prompt) + job.request.max_new_tokens - 1;
  };
  if (cache_slots == 0) {
    for (const auto& job : jobs) cache_slots += needs(job);
  }
  int64_t slots_in_use = 0;
  std::map<int64_t, DecodedSequence> finished;
  std::set<int64_t> in_progress;
  RunStats stats;
  decode_with_refills(
      model, prompts, requests, options, batch_size, cache_slots,
      [&](int64_t sequence, TokenId token) {
        REQUIRE_FALSE(finished.contains(sequence));
        if (in_progress.insert(sequence).second) slots_in_use += needs(jobs[sequence]);
        REQUIRE(std::ssize(in_progress) <= batch_size);
        REQUIRE(slots_in_use <= cache_slots);
        return token != jobs[sequence].last_token;
      },
      [&](int64_t sequence, DecodedSequence decoded) {
        if (in_progress.erase(sequence) > 0) slots_in_use -= needs(jobs[sequence]);
        REQUIRE(finished.emplace(sequence, std::move(decoded)).second);
      },
      stats);
  REQUIRE(finished.size() == jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    CAPTURE(i);
    const auto alone = decode_alone(model, jobs[i]);
    REQUIRE(finished.at(static_cast<int64_t>(i)).token_ids == alone.token_ids);
    REQUIRE(finished.at(static_cast<int64_t>(i)).finish_reason == alone.finish_reason);
  }
  return stats;
}

TEST_CASE("sequences that join others are what they are alone", "[refilled_decode]") {
  uint64_t seed = 0;
  for (const auto& config : tiny_configs()) {
    CAPTURE(++seed);
    const auto model = random_model(config, seed);
    Random random(seed);
    for (int64_t batch_size : {1, 2, 5, 8, 40}) {
      CAPTURE(batch_size);
      const auto jobs = random_jobs(random, 30, config.vocab_size);
      const auto stats = check_jobs(model, jobs, batch_size, 0, {.token_budget = 64});
      int64_t prompt_tokens = 0;
      for (const auto& job : jobs) prompt_tokens += std::ssize(job.prompt);
      CHECK(stats.num_prompts == 30);
      CHECK(stats.prompt_tokens == prompt_tokens);
      CHECK(stats.computed_tokens == prompt_tokens);
      CHECK(stats.prefill_s > 0);
      CHECK(stats.ttft_s > stats.prefill_s);
    }
  }
}

TEST_CASE("steps stay full while prompts wait", "[refilled_decode]") {
  // Of each four one is long. A batch of four at a time would take all the steps of the long ones:
  // 160. All need as much of the cache.
  const auto model = random_model(tiny_configs().front());
  Random random(1);
  std::vector<Job> jobs;
  for (int i = 0; i < 16; ++i) {
    const int64_t num_new = i % 4 == 0 ? 40 : 4;
    const auto prompt = random.tokens(44 - num_new, 61);
    jobs.push_back({prompt, {Sampler({}, 0, prompt), num_new}});
  }
  const auto stats = check_jobs(model, jobs, 4);
  CHECK(stats.generated_tokens == 4 * 40 + 12 * 4);
  CHECK(stats.decode_steps < 100);
}

TEST_CASE("a prompt that finds no room in the cache waits for it", "[refilled_decode]") {
  const auto model = random_model(tiny_configs().front());
  Random random(2);
  for (int trial = 0; trial < 20; ++trial) {
    CAPTURE(trial);
    const auto jobs = random_jobs(random, 20, 61);
    // The longest alone needs up to 44.
    const auto crowded = check_jobs(model, jobs, 8, random.integer(44, 70));
    CHECK(crowded.decode_steps > check_jobs(model, jobs, 8).decode_steps);
  }
}

TEST_CASE("what cannot join others is told", "[refilled_decode]") {
  const auto model = random_model(tiny_configs().front());
  CHECK(can_refill(model, {}));
  CHECK_FALSE(can_refill(model, {.method = PrefillMethod::kPackedRows}));
  CHECK_FALSE(can_refill(model, {.method = PrefillMethod::kPadded}));
  CHECK_FALSE(can_refill(model, {.final_token = FinalToken::kFirstStep}));
  CHECK_FALSE(can_refill(model, {.shares_prefixes = true}));
  CHECK_FALSE(can_refill(model, {.padded_cache = true}));
}

}  // namespace
}  // namespace prepack
