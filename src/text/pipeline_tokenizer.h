#pragma once

#include <memory>
#include <vector>

#include "prepack/tokenizer.h"
#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/scratch.h"
#include "text/subword_model.h"
#include "text/vocabulary.h"

namespace prepack::text {

/// The stages of a tokenizer, in the order in which they meet a text. Both file formats are read
/// into one of these.
struct Pipeline {
  AddedTokenMatcher raw_tokens;         // found in the text as it is
  Normalizer normalizer;                // for what lies between them
  AddedTokenMatcher normalized_tokens;  // found in normalized text
  PreTokenizer pre_tokenizer;           // for what lies between those
  std::unique_ptr<SubwordModel> model;
  TokenIds prefix;  // special tokens put around the sequence
  TokenIds suffix;

  std::shared_ptr<const Vocabulary> vocabulary;  // the model's
  Vocabulary added;                              // added tokens, which may also be in the model's
  std::vector<bool> special;                     // by id; may be shorter than the vocabulary
  Decoder decoder;

  bool contains(TokenId id) const { return added.contains(id) || vocabulary->contains(id); }
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline) : pipeline_(std::move(pipeline)) {}

  TokenIds encode(std::string_view text, bool add_special_tokens) const override;
  void decode_next(TokenId id, bool skip_special_tokens, StreamState& state,
                   std::string& out) const override;
  void decode_rest(StreamState& state, std::string& out) const override;
  std::string token_bytes(TokenId id, bool skip_special_tokens) const override;
  std::string piece(TokenId id) const override;
  std::optional<TokenId> find(std::string_view piece) const override;
  bool contains(TokenId id) const override;
  int64_t vocab_size() const override;

 private:
  void encode_part(std::string_view part, bool at_start, Scratch& scratch, TokenIds& out) const;
  std::string_view spelling(TokenId id) const;
  bool is_special(TokenId id) const;

  Pipeline pipeline_;
  mutable ScratchPool scratch_;  // locks itself
};

}  // namespace prepack::text
