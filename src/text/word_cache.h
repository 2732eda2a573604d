#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "prepack/token.h"
#include "text/vocabulary.h"

namespace prepack::text {

/// Remembers the tokens of short words: text repeats its words, and merging them again costs ten
/// times as much as looking them up. Direct-mapped and of fixed size (1 MiB); a new word takes the
/// place of the one that was there. One thread uses one cache, so there is nothing to lock.
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 26;
  static constexpr size_t kMaxTokens = 9;

  /// Appends the word's tokens to `out` if they are known.
  bool lookup(std::string_view word, uint64_t hash, TokenIds& out) const {
    const Slot& slot = slots_[hash >> kShift];
    if (slot.num_bytes != word.size() || std::memcmp(slot.bytes, word.data(), word.size()) != 0) {
      return false;
    }
    out.insert(out.end(), slot.tokens, slot.tokens + slot.num_tokens);
    return true;
  }

  void store(std::string_view word, uint64_t hash, std::span<const TokenId> tokens) {
    if (tokens.size() > kMaxTokens) return;
    Slot& slot = slots_[hash >> kShift];
    slot.num_bytes = static_cast<uint8_t>(word.size());
    slot.num_tokens = static_cast<uint8_t>(tokens.size());
    std::memcpy(slot.bytes, word.data(), word.size());
    std::copy(tokens.begin(), tokens.end(), slot.tokens);
  }

 private:
  static constexpr int kBits = 14;
  static constexpr int kShift = 64 - kBits;
  struct Slot {             // one cache line
    uint8_t num_bytes = 0;  // 0: free; no word is empty
    uint8_t num_tokens = 0;
    char bytes[kMaxBytes];
    TokenId tokens[kMaxTokens];
  };
  static_assert(sizeof(Slot) == 64);

  std::unique_ptr<Slot[]> slots_{new Slot[size_t{1} << kBits]};
};

}  // namespace prepack::text
