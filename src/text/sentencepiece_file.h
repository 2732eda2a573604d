#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::text {

/// What a SentencePiece tokenizer.model says, or a GGUF file of it. The library does not tell the
/// model's type, the kind of a user-defined piece or the normalizer, and does not survive every
/// damaged file, so the few
/// fields needed are read here. Ref: sentencepiece_model.proto.
struct SentencePieceFile {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  enum Algorithm { kUnigram = 1, kBpe = 2 };
  struct Piece {
    std::string_view text;  // in the file's bytes
    float score = 0;
    int64_t type = kNormal;
  };

  std::vector<Piece> pieces;  // by id
  int64_t algorithm = kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::string_view bos_piece = "<s>";
  std::string_view eos_piece = "</s>";
  std::string_view character_map;  // empty: the normalizer leaves characters alone
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool has_denormalizer = false;
};

/// @throws LoadError naming the file if pieces are damaged or do not fit together
void check_pieces(const SentencePieceFile& file, const std::string& name);

/// @param bytes  must outlive the result
/// @throws LoadError naming the file if it is damaged
SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& name);

}  // namespace prepack::text
