#include "prepack/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "prepack/error.h"

namespace prepack {
namespace {

void require(bool holds, std::string_view field, std::string_view range, double got) {
  if (!holds) throw InvalidArgument(fmt::format("{}: expected {}, got {}", field, range, got));
}

/// The output function of SplitMix64.
uint64_t mix(uint64_t state) {
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ULL;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebULL;
  return state ^ (state >> 31);
}

constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15ULL;

/// A token and its probability relative to the likeliest one.
struct Candidate {
  float weight;
  TokenId id;
};

/// Heap order: likeliest first, the smaller id among equals.
bool less_likely(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight < b.weight : a.id > b.id;
}

double total_weight(std::span<const Candidate> candidates) {
  double total = 0;
  for (const auto& candidate : candidates) total += candidate.weight;
  return total;
}

void keep_top_k(std::vector<Candidate>& candidates, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(candidates.size())) return;
  std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(),
                   [](const auto& a, const auto& b) { return less_likely(b, a); });
  candidates.resize(k);
}

/// Takes candidates from a heap until they hold the probability: the nucleus is small, so this
/// is far less work than sorting the vocabulary.
void keep_top_p(std::vector<Candidate>& candidates, float top_p) {
  if (top_p >= 1) return;
  const double wanted = top_p * total_weight(candidates);
  std::make_heap(candidates.begin(), candidates.end(), less_likely);
  auto heap_end = candidates.end();
  double held = 0;
  while (heap_end != candidates.begin() && held < wanted) {
    std::pop_heap(candidates.begin(), heap_end, less_likely);
    held += (--heap_end)->weight;
  }
  candidates.erase(candidates.begin(), heap_end);
}

/// Weights are relative to the likeliest token, which is never dropped, so min-p is a threshold.
void keep_min_p(std::vector<Candidate>& candidates, float min_p) {
  if (min_p > 0) std::erase_if(candidates, [&](const auto& c) { return c.weight < min_p; });
}

TokenId draw(std::span<const Candidate> candidates, double uniform) {
  double remaining = uniform * total_weight(candidates);
  for (const auto& candidate : candidates) {
    remaining -= candidate.weight;
    if (remaining < 0) return candidate.id;
  }
  // Only rounding can lead here; the last candidate with any weight is meant.
  const auto last = std::find_if(candidates.rbegin(), candidates.rend(),
                                 [](const auto& c) { return c.weight > 0; });
  return last->id;
}

}  // namespace

void SamplingParams::validate() const {
  require(temperature >= 0 && std::isfinite(temperature), "temperature", "0 or more", temperature);
  require(top_k >= 0, "top_k", "0 or more", static_cast<double>(top_k));
  require(top_p > 0 && top_p <= 1, "top_p", "more than 0, at most 1", top_p);
  require(min_p >= 0 && min_p <= 1, "min_p", "0 to 1", min_p);
  require(repetition_penalty > 0 && std::isfinite(repetition_penalty), "repetition_penalty",
          "more than 0", repetition_penalty);
}

RandomStream::RandomStream(uint64_t seed, uint64_t stream)
    : state_(mix(mix(seed + kGoldenGamma) ^ (stream * kGoldenGamma))) {}

double RandomStream::next() {
  state_ += kGoldenGamma;
  return static_cast<double>(mix(state_) >> 11) * 0x1.0p-53;
}

Sampler::Sampler(const SamplingParams& params, uint64_t stream, const TokenIds& prompt)
    : params_(params), random_(params.seed, stream) {
  params_.validate();
  if (params_.repetition_penalty != 1) {
    seen_ = prompt;
    std::ranges::sort(seen_);
    seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
  }
}

TokenId Sampler::sample(std::span<float> logits) {
  for (TokenId id : seen_) {
    if (id < 0 || id >= static_cast<TokenId>(logits.size())) {
      throw InvalidArgument(
          fmt::format("token id {} is outside the vocabulary of {}", id, logits.size()));
    }
    auto& logit = logits[id];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
  }
  const auto likeliest = std::ranges::max_element(logits);
  // A NaN compares as neither less nor more, so it may hide behind the largest number.
  const bool has_nan = std::ranges::any_of(logits, [](float logit) { return std::isnan(logit); });
  if (has_nan || likeliest == logits.end() || !std::isfinite(*likeliest)) {
    throw Error("the model's logits are not finite numbers");
  }
  auto token = static_cast<TokenId>(likeliest - logits.begin());
  if (params_.temperature > 0) {
    std::vector<Candidate> candidates(logits.size());
    const float highest = *likeliest;
    for (size_t id = 0; id < logits.size(); ++id) {
      candidates[id] = {std::exp((logits[id] - highest) / params_.temperature),
                        static_cast<TokenId>(id)};
    }
    keep_top_k(candidates, params_.top_k);
    keep_top_p(candidates, params_.top_p);
    keep_min_p(candidates, params_.min_p);
    // Selecting leaves an order that another machine's would not.
    if (params_.top_k > 0 || params_.top_p < 1) std::ranges::sort(candidates, {}, &Candidate::id);
    token = draw(candidates, random_.next());
  }
  if (params_.repetition_penalty != 1) {
    const auto place = std::ranges::lower_bound(seen_, token);
    if (place == seen_.end() || *place != token) seen_.insert(place, token);
  }
  return token;
}

}  // namespace prepack
