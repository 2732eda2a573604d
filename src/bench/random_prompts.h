#pragma once

#include <cstdint>

#include "prepack/sampler.h"
#include "prepack/token.h"

namespace prepack::bench {

/// Uniform in 0 to count - 1.
int64_t draw_below(RandomStream& random, int64_t count);

/// A prompt of random token ids inside the vocabulary, the same for the same seed on every machine.
TokenIds random_prompt(RandomStream& random, int64_t num_tokens, int64_t vocab_size);

}  // namespace prepack::bench
