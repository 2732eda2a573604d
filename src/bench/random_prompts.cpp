#include "bench/random_prompts.h"

namespace prepack::bench {

int64_t draw_below(RandomStream& random, int64_t count) {
  return static_cast<int64_t>(random.next() * static_cast<double>(count));
}

TokenIds random_prompt(RandomStream& random, int64_t num_tokens, int64_t vocab_size) {
  TokenIds prompt(num_tokens);
  for (auto& token : prompt) token = static_cast<TokenId>(draw_below(random, vocab_size));
  return prompt;
}

}  // namespace prepack::bench
