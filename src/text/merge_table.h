#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "prepack/token.h"

namespace prepack::text {

/// What two neighbouring symbols become, and how early: lower ranks merge first.
struct Merge {
  static constexpr uint32_t kNone = ~0u;
  uint32_t rank = kNone;
  TokenId id = -1;
};

/// The merges of a byte-pair encoding in one flat hash table, 16 bytes a merge.
class MergeTable {
 public:
  explicit MergeTable(size_t num_merges = 0);

  /// Adds a merge, or replaces the one of the same pair.
  void set(TokenId left, TokenId right, Merge merge);

  Merge find(TokenId left, TokenId right) const {
    const uint64_t key = pack(left, right);
    for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~0ULL;
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };

  static uint64_t pack(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15ULL) >> shift_; }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t mask_;
  int shift_;
};

/// Working memory of `merge_symbols`.
struct MergeBuffers {
  std::vector<Merge> pairs;
  std::vector<uint32_t> previous;
  std::vector<uint32_t> next;
  std::vector<uint64_t> heap;
};

/// Applies the merges to a word's symbols in place: always the merge of lowest rank, and the
/// leftmost of those. Words of up to a few dozen symbols are scanned for it; longer ones use a
/// heap, so that a megabyte of one letter takes O(n log n).
void merge_symbols(const MergeTable& merges, std::vector<TokenId>& symbols, MergeBuffers& buffers);

}  // namespace prepack::text
