#include "prepack/tokenizer.h"

#include <limits>

namespace prepack {

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string text;
  StreamState state;
  for (const TokenId id : ids) decode_next(id, skip_special_tokens, state, text);
  decode_rest(state, text);
  return text;
}

namespace {

StreamState state_at(TextStart start) {
  if (start == TextStart::kAtFirstToken) return {};
  // As after a token, and with all taken off that may be.
  return {.pending = "", .num_tokens = 1, .num_stripped = std::numeric_limits<int64_t>::max()};
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens, TextStart start)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      start_(start),
      state_(state_at(start)) {}

std::string StreamDecoder::push(TokenId id) {
  std::string text;
  tokenizer_->decode_next(id, skip_special_tokens_, state_, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  tokenizer_->decode_rest(state_, text);
  state_ = state_at(start_);
  return text;
}

}  // namespace prepack
