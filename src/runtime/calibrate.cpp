#include "prepack/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "prepack/error.h"
#include "prepack/run_stats.h"

namespace prepack {
namespace {

/// Prompts that fill a bin: the last is as long as is left.
std::vector<TokenIds> prompts_for(int64_t capacity, int64_t prompt_len, int64_t vocab_size) {
  std::vector<TokenIds> prompts;
  for (int64_t used = 0; used < capacity;) {
    TokenIds prompt(std::min(prompt_len, capacity - used));
    for (size_t i = 0; i < prompt.size(); ++i) {
      prompt[i] = static_cast<TokenId>((used + static_cast<int64_t>(i)) % vocab_size);
    }
    used += static_cast<int64_t>(prompt.size());
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

double seconds_per_token(const Model& model, PrefillMethod method, int64_t capacity,
                         int64_t prompt_len) {
  const auto prompts = prompts_for(capacity, prompt_len, model.config().vocab_size);
  RunStats stats;
  // Without the final tokens: the projection to the vocabulary is not what is chosen here.
  prefill(model, prompts,
          {.method = method,
           .token_budget = capacity,
           .capacity = capacity,
           .final_token = FinalToken::kFirstStep},
          std::min(prompt_len, capacity), &stats);
  return stats.prefill_s / static_cast<double>(stats.computed_tokens);
}

}  // namespace

int64_t measure_fastest_capacity(const Model& model, PrefillMethod method,
                                 const CalibrationRange& range) {
  if (method == PrefillMethod::kPadded) {
    throw InvalidArgument("capacity: padded batches have no bins to measure");
  }
  const int64_t prompt_len = std::min(range.prompt_len, model.config().max_position_embeddings);
  if (prompt_len < 2 || range.min_capacity < 2 || range.max_capacity < range.min_capacity) {
    throw InvalidArgument(fmt::format("capacity: nothing to measure from {} to {} tokens",
                                      range.min_capacity, range.max_capacity));
  }
  int64_t fastest = 0;
  double fewest_seconds = 0;
  for (int64_t capacity = range.min_capacity;;
       capacity = std::min(2 * capacity, range.max_capacity)) {
    seconds_per_token(model, method, capacity,
                      prompt_len);  // the first forward of a size allocates
    const double seconds = std::min(seconds_per_token(model, method, capacity, prompt_len),
                                    seconds_per_token(model, method, capacity, prompt_len));
    constexpr double kNoticeable = 0.99;  // a difference below one percent is noise
    if (fastest == 0 || seconds < kNoticeable * fewest_seconds) {
      fastest = capacity;
      fewest_seconds = seconds;
    }
    if (capacity == range.max_capacity) break;
  }
  return fastest;
}

}  // namespace prepack
