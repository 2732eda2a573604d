#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "prepack/token.h"

namespace prepack {

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

}  // namespace prepack
