#pragma once

#include <charconv>
#include <string>

#include "prepack/error.h"
#include "prepack/tokenizer.h"

namespace prepack::testing {

/// Text is the token ids in decimal, with a space between two: "17 4 23". The space is given
/// with the token after it, as a tokenizer does that holds back what is not certain; another one
/// comes at the end.
class NumberTokenizer : public Tokenizer {
 public:
  explicit NumberTokenizer(int64_t vocab_size) : vocab_size_(vocab_size) {}

  TokenIds encode(std::string_view text, bool) const override {
    TokenIds ids;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
      TokenId id = 0;
      at = std::from_chars(at, end, id).ptr + 1;
      ids.push_back(id);
    }
    return ids;
  }

  void decode_next(TokenId id, bool, StreamState& state, std::string& out) const override {
    out += state.pending;
    out += std::to_string(id);
    state.pending = " ";
  }

  void decode_rest(StreamState& state, std::string& out) const override {
    out += state.pending;
    state = {};
  }

  std::string token_bytes(TokenId id, bool) const override { return std::to_string(id) + " "; }
  std::string piece(TokenId id) const override { return std::to_string(id); }
  std::optional<TokenId> find(std::string_view piece) const override {
    return encode(piece, false).at(0);
  }
  bool contains(TokenId id) const override { return id >= 0 && id < vocab_size_; }
  int64_t vocab_size() const override { return vocab_size_; }

 private:
  int64_t vocab_size_;
};

}  // namespace prepack::testing
