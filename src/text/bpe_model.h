#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "text/subword_model.h"
#include "text/vocabulary.h"

namespace prepack::text {

/// Byte-pair encoding as Hugging Face's tokenizers do it: a word starts as its characters (or its
/// bytes, in GPT-2's spelling) and its neighbours merge in the order of the merges.
/// Ref: tokenizers' models/bpe/model.rs and word.rs.
class BpeModel : public SubwordModel {
 public:
  struct Options {
    bool byte_level = false;     // words are raw bytes, the vocabulary spells them in characters
    bool byte_fallback = false;  // an unknown character becomes its bytes' pieces "<0x..>"
    bool ignore_merges = false;  // a word that is in the vocabulary is that token
    bool fuse_unk = false;       // unknown characters in a row are one unknown token
    std::optional<TokenId> unk;  // without one, unknown characters vanish
    bool words_at_metaspace =
        false;  // no merge reaches over "x▁": each such word is encoded by itself
  };

  BpeModel(std::shared_ptr<const Vocabulary> vocabulary, MergeTable merges, Options options);

  void encode(std::string_view piece, Scratch& scratch, TokenIds& out) const override;

 private:
  class PendingUnknown;

  void encode_word(std::string_view word, Scratch& scratch, TokenIds& out) const;
  void encode_new_word(std::string_view word, Scratch& scratch, TokenIds& out) const;
  void start_with_bytes(std::string_view word, TokenIds& symbols) const;
  void start_with_characters(std::string_view word, TokenIds& symbols) const;
  /// False, and nothing appended, unless the vocabulary has all of the character's bytes.
  bool append_byte_pieces(std::string_view character, TokenIds& symbols) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  MergeTable merges_;
  Options options_;
  std::array<TokenId, 256>
      byte_ids_;  // by byte: its GPT-2 character's id (byte_level), or "<0x..>"'s
  std::array<TokenId, 128> ascii_ids_;  // -1: not in the vocabulary
};

/// True if no piece in the range of `produced` has U+2581 behind another character, and U+2581
/// itself is in the vocabulary: then text may be cut before every U+2581 that follows another
/// character.
bool words_start_at_metaspace(const Vocabulary& vocabulary, const std::vector<TokenId>& produced);

}  // namespace prepack::text
