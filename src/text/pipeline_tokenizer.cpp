#include "text/pipeline_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "prepack/error.h"
#include "text/utf8.h"

namespace prepack::text {

TokenIds PipelineTokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (const auto offset = find_invalid_utf8(text)) {
    throw InvalidArgument(fmt::format("the text is not valid UTF-8 at byte {}", *offset));
  }
  TokenIds ids;
  ids.reserve(text.size() / 3 + 8);
  if (add_special_tokens) ids = pipeline_.prefix;
  ScratchPool::Lease scratch(scratch_);
  pipeline_.raw_tokens.split(
      text,
      [&](std::string_view part) { encode_part(part, part.data() == text.data(), *scratch, ids); },
      [&](TokenId id) { ids.push_back(id); });
  if (add_special_tokens) {
    ids.insert(ids.end(), pipeline_.suffix.begin(), pipeline_.suffix.end());
  }
  return ids;
}

void PipelineTokenizer::encode_part(std::string_view part, bool at_start, Scratch& scratch,
                                    TokenIds& out) const {
  const std::string_view normalized = pipeline_.normalizer.apply(part, at_start, scratch);
  pipeline_.normalized_tokens.split(
      normalized,
      [&](std::string_view text) {
        const bool first = at_start && text.data() == normalized.data();
        for (const Piece& piece : pipeline_.pre_tokenizer.apply(text, first, scratch)) {
          pipeline_.model->encode(piece.text, scratch, out);
        }
      },
      [&](TokenId id) { out.push_back(id); });
}

void PipelineTokenizer::decode_next(TokenId id, bool skip_special_tokens, StreamState& state,
                                    std::string& out) const {
  const std::string_view piece = spelling(id);
  if (skip_special_tokens && is_special(id)) return;
  pipeline_.decoder.push(piece, state, out);
}

void PipelineTokenizer::decode_rest(StreamState& state, std::string& out) const {
  pipeline_.decoder.finish(state, out);
}

std::string PipelineTokenizer::token_bytes(TokenId id, bool skip_special_tokens) const {
  const std::string_view piece = spelling(id);
  if (skip_special_tokens && is_special(id)) return "";
  return pipeline_.decoder.bytes(piece);
}

std::string PipelineTokenizer::piece(TokenId id) const { return std::string(spelling(id)); }

std::optional<TokenId> PipelineTokenizer::find(std::string_view piece) const {
  const auto id = pipeline_.added.find(piece);
  return id ? id : pipeline_.vocabulary->find(piece);
}

bool PipelineTokenizer::contains(TokenId id) const {
  return pipeline_.added.contains(id) || pipeline_.vocabulary->contains(id);
}

int64_t PipelineTokenizer::vocab_size() const {
  return std::max(pipeline_.vocabulary->end_id(), pipeline_.added.end_id());
}

std::string_view PipelineTokenizer::spelling(TokenId id) const {
  if (pipeline_.added.contains(id)) return pipeline_.added.piece(id);
  if (pipeline_.vocabulary->contains(id)) return pipeline_.vocabulary->piece(id);
  throw InvalidArgument(
      fmt::format("token id {} is not in the vocabulary of {} tokens", id, vocab_size()));
}

bool PipelineTokenizer::is_special(TokenId id) const {
  return static_cast<size_t>(id) < pipeline_.special.size() && pipeline_.special[id];
}

}  // namespace prepack::text
