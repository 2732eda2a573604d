#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "prepack/token.h"

namespace prepack {

/// Beginnings shorter than this cost more to keep apart than to compute again.
inline constexpr int64_t kShortestSharedPrefix = 32;

/// Where a prompt's beginning comes from: the first `length` tokens of prompt `source` are its own
/// too.
struct SharedPrefix {
  int64_t source = -1;  // -1: no other prompt
  int64_t length = 0;   // less than the prompt has, so that its last token is always computed
  int64_t phase = 0;    // one more than the source's; 0 where there is none
};

/// Finds prompts that begin alike, as few-shot and system prompts do, so that the keys and values
/// of what they share are computed once: every prompt shares with one other what it can, in at most
/// three phases of which each needs those before.
///
/// Example: for prompts {1 2 3 4}, {1 2 9}, {1 2 3 4 5} and min_length 2, prompt 0 shares nothing,
/// prompts 1 and 2 share 2 and 4 tokens with it.
/// @param min_length  fewer tokens are not worth being shared
/// @param classes     one per prompt: prompts of different classes share nothing; empty: all are
///                    of one class
/// @return one per prompt
std::vector<SharedPrefix> find_shared_prefixes(std::span<const TokenIds> prompts,
                                               int64_t min_length,
                                               std::span<const int64_t> classes = {});

/// Cuts prompts into batches, in the order of their tokens, so that those that begin alike are in
/// one, and what prompts on either side of a cut have in common is least in sum. All batches but
/// the last are at least two thirds full, and one batch less is worth `min_length` tokens.
///
/// Example: for prompts {1 1 2}, {3 3 1}, {1 1 3}, {3 3 2}, {3 3 3}, batches of 3 and min_length 2:
/// {0, 2} and {1, 3, 4}.
/// @param batch_size  prompts of a batch at most
/// @param min_length  fewer tokens in common are as good as none
/// @param classes     as above
/// @return the prompts of each batch
std::vector<std::vector<int64_t>> make_prefix_batches(std::span<const TokenIds> prompts,
                                                      int64_t batch_size, int64_t min_length,
                                                      std::span<const int64_t> classes = {});

}  // namespace prepack
