#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/token.h"

namespace prepack::text {

/// A fast hash of short strings, good enough in its upper and its lower bits.
uint64_t hash_bytes(std::string_view bytes);

/// Pieces by id and ids by piece. Ids may have holes. All spellings lie in one buffer, because a
/// vocabulary of 150 thousand separate strings takes longer to allocate than to read.
class Vocabulary {
 public:
  /// Ids above this are taken for damage: the tables below are as long as the largest id.
  static constexpr TokenId kMaxId = (1 << 22) - 1;

  void reserve(size_t num_pieces, size_t num_bytes);

  /// @returns false if the piece or the id is there already, or the id is not in [0, kMaxId]
  bool add(std::string_view piece, TokenId id);

  std::optional<TokenId> find(std::string_view piece) const;

  bool contains(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < spans_.size() && spans_[id].offset != kHole;
  }

  /// The spelling of `id`, which the vocabulary contains.
  std::string_view piece(TokenId id) const {
    return std::string_view(bytes_).substr(spans_[id].offset, spans_[id].length);
  }

  /// One more than the largest id.
  TokenId end_id() const { return static_cast<TokenId>(spans_.size()); }

  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kHole = ~0u;
  struct Span {
    uint32_t offset = kHole;
    uint32_t length = 0;
  };
  struct Slot {
    uint32_t hash = 0;
    TokenId id = -1;
  };

  void grow_table(size_t num_slots);

  std::string bytes_;
  std::vector<Span> spans_;  // by id
  std::vector<Slot> slots_;  // open addressing; a power of two, at most two thirds full
  size_t size_ = 0;
};

}  // namespace prepack::text
