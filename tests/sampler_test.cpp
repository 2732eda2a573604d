#include "prepack/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using testing::Random;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(Random& random, int64_t vocab_size, double scale = 2) {
  std::vector<float> logits(vocab_size);
  for (auto& logit : logits) logit = static_cast<float>(scale * random.normal());
  return logits;
}

TokenId sample_once(const SamplingParams& params, uint64_t stream, std::vector<float> logits,
                    const TokenIds& prompt = {}) {
  return Sampler(params, stream, prompt).sample(logits);
}

// The distribution that a token is drawn from, by the plain definitions of transformers'
// processors and in their order, each a pass over the whole vocabulary in float64.

using Scores = std::vector<double>;
constexpr double kDropped = -std::numeric_limits<double>::infinity();

void apply_repetition_penalty(Scores& scores, const TokenIds& seen, double penalty) {
  for (TokenId id : std::set<TokenId>(seen.begin(), seen.end())) {
    scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  }
}

Scores softmax(const Scores& scores) {
  const double highest = *std::ranges::max_element(scores);
  Scores probabilities;
  double total = 0;
  for (double score : scores) {
    probabilities.push_back(std::exp(score - highest));
    total += probabilities.back();
  }
  for (double& probability : probabilities) probability /= total;
  return probabilities;
}

void apply_top_k(Scores& scores, int64_t k) {
  if (k == 0 || k >= static_cast<int64_t>(scores.size())) return;
  auto sorted = scores;
  std::ranges::sort(sorted, std::greater());
  for (double& score : scores) {
    if (score < sorted[k - 1]) score = kDropped;
  }
}

/// Drops what lies, from the least likely upwards, within the last 1 - top_p of the probability.
void apply_top_p(Scores& scores, double top_p) {
  if (top_p >= 1) return;
  const auto probabilities = softmax(scores);
  std::vector<size_t> ascending(scores.size());
  std::iota(ascending.begin(), ascending.end(), 0);
  std::ranges::sort(ascending, {}, [&](size_t id) { return probabilities[id]; });
  double cumulative = 0;
  for (size_t i = 0; i + 1 < ascending.size(); ++i) {
    cumulative += probabilities[ascending[i]];
    if (cumulative <= 1 - top_p) scores[ascending[i]] = kDropped;
  }
}

void apply_min_p(Scores& scores, double min_p) {
  const auto probabilities = softmax(scores);
  const double threshold = min_p * *std::ranges::max_element(probabilities);
  for (size_t id = 0; id < scores.size(); ++id) {
    if (probabilities[id] < threshold) scores[id] = kDropped;
  }
}

Scores expected_distribution(const SamplingParams& params, const std::vector<float>& logits,
                             const TokenIds& seen = {}) {
  Scores scores(logits.begin(), logits.end());
  apply_repetition_penalty(scores, seen, params.repetition_penalty);
  for (double& score : scores) score /= params.temperature;
  apply_top_k(scores, params.top_k);
  apply_top_p(scores, params.top_p);
  apply_min_p(scores, params.min_p);
  return softmax(scores);
}

/// Checks drawn tokens against the distribution they should come from: nothing impossible is drawn,
/// and Pearson's chi-square statistic stays below what chance exceeds about once in a million.
void check_frequencies(const std::vector<int64_t>& counts, const Scores& expected) {
  const auto num_draws =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  double chi_square = 0;
  int degrees = -1;
  double rare_count = 0;
  double rare_expected = 0;
  for (size_t id = 0; id < counts.size(); ++id) {
    CAPTURE(id, expected[id], counts[id]);
    if (expected[id] == 0) {
      REQUIRE(counts[id] == 0);
      continue;
    }
    const double wanted = expected[id] * num_draws;
    if (wanted < 10) {  // too rare for the statistic on their own
      rare_count += static_cast<double>(counts[id]);
      rare_expected += wanted;
      continue;
    }
    chi_square += std::pow(static_cast<double>(counts[id]) - wanted, 2) / wanted;
    ++degrees;
  }
  if (rare_expected >= 10) {
    chi_square += std::pow(rare_count - rare_expected, 2) / rare_expected;
    ++degrees;
  }
  if (degrees < 1) return;
  // The Wilson-Hilferty approximation at 4.75 standard deviations.
  const double spread = 2.0 / (9 * degrees);
  const double bound = degrees * std::pow(1 - spread + 4.75 * std::sqrt(spread), 3);
  CAPTURE(chi_square, bound, degrees);
  REQUIRE(chi_square < bound);
}

std::vector<int64_t> count_draws(const SamplingParams& params, const std::vector<float>& logits,
                                 int num_draws) {
  Sampler sampler(params, 0, {});
  std::vector<int64_t> counts(logits.size());
  for (int i = 0; i < num_draws; ++i) {
    auto copy = logits;
    ++counts.at(sampler.sample(copy));
  }
  return counts;
}

TEST_CASE("greedy sampling takes the most likely token", "[sampler]") {
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const auto logits = random_logits(random, random.integer(1, 300));
    REQUIRE(sample_once({}, i, logits) == std::ranges::max_element(logits) - logits.begin());
  }
}

TEST_CASE("greedy sampling takes the first among equals", "[sampler]") {
  CHECK(sample_once({}, 0, {1, 3, 2, 3, 3}) == 1);
  CHECK(sample_once({}, 0, std::vector<float>(50, -2)) == 0);
}

TEST_CASE("greedy sampling draws no random number", "[sampler]") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CHECK(sample_once({.seed = seed}, seed, {0, 0.001F, 0}) == 1);
  }
}

TEST_CASE("top-k of one, a small top-p, a min-p of one and a low temperature are greedy",
          "[sampler]") {
  Random random(2);
  for (uint64_t stream = 0; stream < 200; ++stream) {
    const auto logits = random_logits(random, 40);
    const auto likeliest = std::ranges::max_element(logits) - logits.begin();
    REQUIRE(sample_once({.temperature = 5, .top_k = 1}, stream, logits) == likeliest);
    REQUIRE(sample_once({.temperature = 5, .top_p = 1e-6F}, stream, logits) == likeliest);
    REQUIRE(sample_once({.temperature = 5, .min_p = 1}, stream, logits) == likeliest);
    REQUIRE(sample_once({.temperature = 1e-30F}, stream, logits) == likeliest);
  }
}

TEST_CASE("top-k keeps the smaller ids among equals", "[sampler]") {
  const std::vector<float> logits = {1, 2, 2, 2, 2};
  const auto counts = count_draws({.temperature = 1, .top_k = 2}, logits, 1000);
  CHECK(counts[1] + counts[2] == 1000);
  CHECK(counts[1] > 0);
  CHECK(counts[2] > 0);
}

TEST_CASE("tokens are drawn in proportion to their probability", "[sampler]") {
  Random random(3);
  for (float temperature : {0.5F, 1.0F, 3.0F}) {
    const SamplingParams params{.temperature = temperature, .seed = 11};
    const auto logits = random_logits(random, 20);
    CAPTURE(temperature);
    check_frequencies(count_draws(params, logits, 20'000), expected_distribution(params, logits));
  }
}

TEST_CASE("the first draws of consecutive streams are as random as one stream's", "[sampler]") {
  Random random(4);
  const auto logits = random_logits(random, 20);
  for (uint64_t seed : {0, 1, 42}) {
    const SamplingParams params{.temperature = 1, .seed = seed};
    std::vector<int64_t> counts(20);
    for (uint64_t stream = 0; stream < 20'000; ++stream) {
      ++counts[sample_once(params, stream, logits)];
    }
    check_frequencies(counts, expected_distribution(params, logits));
  }
}

TEST_CASE("any mix of parameters draws from the distribution that transformers' order gives",
          "[sampler]") {
  Random random(5);
  for (uint64_t i = 0; i < 150; ++i) {
    const auto logits = random_logits(random, 24);
    const auto maybe = [&](double value, double otherwise) {
      return static_cast<float>(random.integer(0, 2) > 0 ? value : otherwise);
    };
    const SamplingParams params{
        .temperature = static_cast<float>(0.3 + 2 * random.uniform()),
        .top_k = random.integer(0, 30),
        .top_p = maybe(0.2 + 0.8 * random.uniform(), 1),
        .min_p = maybe(0.4 * random.uniform(), 0),
        .repetition_penalty = maybe(0.6 + random.uniform(), 1),
        .seed = i,
    };
    const auto prompt = random.tokens(random.integer(0, 10), 24);
    CAPTURE(i, params.temperature, params.top_k, params.top_p, params.min_p,
            params.repetition_penalty);
    std::vector<int64_t> counts(24);
    // A new sampler for each draw: tokens that were drawn count as seen.
    for (uint64_t stream = 0; stream < 4'000; ++stream) {
      ++counts[sample_once(params, stream, logits, prompt)];
    }
    check_frequencies(counts, expected_distribution(params, logits, prompt));
  }
}

TEST_CASE("a token of probability zero is never drawn", "[sampler]") {
  std::vector<float> logits(30, -kInfinity);
  logits[7] = 1;
  logits[21] = -3;
  const auto counts = count_draws({.temperature = 4}, logits, 2000);
  CHECK(counts[7] + counts[21] == 2000);
  CHECK(counts[21] > 0);
}

TEST_CASE("the repetition penalty makes tokens of the prompt less likely, whatever their sign",
          "[sampler]") {
  const SamplingParams params{.repetition_penalty = 2};
  CHECK(sample_once(params, 0, {3, 2, -1}) == 0);
  CHECK(sample_once(params, 0, {3, 2, -1}, {0}) == 1);
  CHECK(sample_once(params, 0, {-1, -1.5F, -9}, {0}) == 1);
}

TEST_CASE("the repetition penalty counts a token once however often it was seen", "[sampler]") {
  const SamplingParams params{.repetition_penalty = 1.2F};
  CHECK(sample_once(params, 0, {3, 2, -1}, {0, 0, 0, 0, 0}) == 0);
}

TEST_CASE("the repetition penalty counts generated tokens as seen", "[sampler]") {
  Sampler sampler({.repetition_penalty = 1000}, 0, {2});
  TokenIds drawn;
  for (int i = 0; i < 4; ++i) {
    std::vector<float> logits = {1, 5, 9, 2, 4};
    drawn.push_back(sampler.sample(logits));
  }
  CHECK(drawn == TokenIds{1, 4, 3, 0});
}

TEST_CASE("the same seed and stream draw the same tokens", "[sampler]") {
  Random random(6);
  const auto logits = random_logits(random, 100, 0.1);
  const auto draw = [&](uint64_t seed, uint64_t stream) {
    Sampler sampler({.temperature = 1, .seed = seed}, stream, {});
    TokenIds tokens;
    for (int i = 0; i < 30; ++i) {
      auto copy = logits;
      tokens.push_back(sampler.sample(copy));
    }
    return tokens;
  };
  CHECK(draw(1, 2) == draw(1, 2));
  std::set<TokenIds> different;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t stream = 0; stream < 20; ++stream) different.insert(draw(seed, stream));
  }
  CHECK(different.size() == 400);
}

TEST_CASE("random streams are uniform, and independent of one another", "[sampler]") {
  const int num_draws = 20'000;
  double sum = 0;
  double squares = 0;
  double neighbours = 0;
  for (uint64_t stream = 0; stream < 4; ++stream) {
    RandomStream random(7, stream);
    RandomStream next(7, stream + 1);
    for (int i = 0; i < num_draws; ++i) {
      const double a = random.next();
      const double b = next.next();
      REQUIRE(a >= 0);
      REQUIRE(a < 1);
      sum += a - 0.5;
      squares += (a - 0.5) * (a - 0.5) - 1.0 / 12;
      neighbours += (a - 0.5) * (b - 0.5);
    }
  }
  // Standard deviations of the means: sqrt(1 / 12), sqrt(1 / 180) and 1 / 12, over sqrt(n).
  const double n = 4 * num_draws;
  CHECK(std::abs(sum / n) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n) < 5 * std::sqrt(1.0 / 180 / n));
  CHECK(std::abs(neighbours / n) < 5 / 12.0 / std::sqrt(n));
}

TEST_CASE("no stream is a later part of another", "[sampler]") {
  std::set<double> draws;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (uint64_t stream = 0; stream < 50; ++stream) {
      RandomStream random(seed, stream);
      for (int i = 0; i < 100; ++i) draws.insert(random.next());
    }
  }
  CHECK(draws.size() == 5 * 50 * 100);
}

TEST_CASE("logits without a finite number are an error", "[sampler]") {
  for (float value : {-kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_THROWS_AS(sample_once({}, 0, std::vector<float>(5, value)), Error);
    CHECK_THROWS_AS(sample_once({.temperature = 1}, 0, std::vector<float>(5, value)), Error);
  }
}

TEST_CASE("a sampling parameter out of its range is named", "[sampler]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<SamplingParams, std::string>> defects = {
      {{.temperature = -0.1F}, "temperature"},
      {{.temperature = nan}, "temperature"},
      {{.temperature = kInfinity}, "temperature"},
      {{.top_k = -1}, "top_k"},
      {{.top_p = 0}, "top_p"},
      {{.top_p = 1.01F}, "top_p"},
      {{.top_p = nan}, "top_p"},
      {{.min_p = -0.01F}, "min_p"},
      {{.min_p = 1.01F}, "min_p"},
      {{.repetition_penalty = 0}, "repetition_penalty"},
      {{.repetition_penalty = -1}, "repetition_penalty"},
      {{.repetition_penalty = kInfinity}, "repetition_penalty"},
  };
  for (const auto& [params, name] : defects) {
    CHECK_THROWS_AS(params.validate(), InvalidArgument);
    CHECK_THROWS_WITH(params.validate(), ContainsSubstring(name + ": expected"));
    CHECK_THROWS_AS(Sampler(params, 0, {}), InvalidArgument);
  }
}

TEST_CASE("sampling parameters at the ends of their ranges are taken", "[sampler]") {
  CHECK_NOTHROW(SamplingParams{}.validate());
  CHECK_NOTHROW(SamplingParams{.top_p = 1, .min_p = 0}.validate());
  CHECK_NOTHROW(SamplingParams{.temperature = 0, .top_k = 0, .min_p = 1}.validate());
}

}  // namespace
}  // namespace prepack
