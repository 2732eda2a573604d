#include "prepack/tokenizer.h"

namespace prepack {

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string text;
  StreamState state;
  for (const TokenId id : ids) decode_next(id, skip_special_tokens, state, text);
  decode_rest(state, text);
  return text;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string StreamDecoder::push(TokenId id) {
  std::string text;
  tokenizer_->decode_next(id, skip_special_tokens_, state_, text);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  tokenizer_->decode_rest(state_, text);
  return text;
}

}  // namespace prepack
