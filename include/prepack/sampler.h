#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "prepack/token.h"

namespace prepack {

/// How a token is drawn from the logits. The steps are applied in this order, as transformers
/// does: repetition penalty, temperature, top-k, top-p, min-p.
struct SamplingParams {
  float temperature = 0;  // 0: greedy, the most likely token; otherwise > 0
  int64_t top_k = 0;      // only the k most likely tokens; 0: all
  float top_p = 1;        // the fewest most likely tokens that hold this probability; (0, 1]
  float min_p = 0;        // only tokens at least this fraction as likely as the likeliest; [0, 1]
  float repetition_penalty = 1;  // > 1 makes the tokens seen so far less likely; > 0
  uint64_t seed = 0;

  /// @throws InvalidArgument naming the first field out of its range
  void validate() const;
};

/// Random numbers of one sequence: a function of the seed, the stream and the number of draws, and
/// of nothing else. Ref: Steele et al., "Fast splittable pseudorandom number generators" (2014).
class RandomStream {
 public:
  RandomStream(uint64_t seed, uint64_t stream);

  /// Uniform in [0, 1).
  double next();

 private:
  uint64_t state_;
};

/// Draws the tokens of one sequence: that in which the random number's share of the probability
/// ends, of all that are left, counted by their ids. Each sequence has its own sampler and random
/// stream, so that its neighbours in a batch never change its draws.
class Sampler {
 public:
  /// @param stream  the sequence's number in the whole job
  /// @param prompt  its tokens count as seen for the repetition penalty
  Sampler(const SamplingParams& params, uint64_t stream, const TokenIds& prompt);

  /// @param logits  [vocab_size]; changed by the repetition penalty
  /// @throws Error if a logit is not a number, or the largest is not finite
  TokenId sample(std::span<float> logits);

  const SamplingParams& params() const { return params_; }

  /// The random number of the next token, where something else draws it. Greedy sampling has none.
  double next_random() { return params_.temperature > 0 ? random_.next() : 0; }

 private:
  SamplingParams params_;
  RandomStream random_;
  std::vector<TokenId> seen_;  // sorted; kept only if there is a repetition penalty
};

}  // namespace prepack
