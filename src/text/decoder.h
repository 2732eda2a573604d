#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "prepack/tokenizer.h"

namespace prepack::text {

/// How pieces become text again: the decoder of a tokenizer.json, with `StreamState` as its memory
/// between two pieces. Ref: Hugging Face tokenizers' decoders/.
struct Decoder {
  enum class Form {
    kJoined,     // no decoder: pieces with a space between them
    kByteLevel,  // GPT-2's characters for bytes
    kMetaspace,  // U+2581 is a space; none at the start
    kPieces      // replacements, then byte pieces, then stripping
  };
  struct Replacement {
    std::string pattern;
    std::string content;
  };

  Form form = Form::kJoined;
  std::vector<Replacement> replacements;  // kPieces: within each piece, in order
  bool byte_fallback = false;             // kPieces: "<0x0A>" is a byte
  std::string metaspace;                  // kMetaspace: the visible space
  std::string strip;        // kPieces, kMetaspace: the character to strip from the start
  int64_t strip_count = 0;  // at most so many of it

  /// Appends to `out` what is known of the text after this piece.
  void push(std::string_view piece, StreamState& state, std::string& out) const;

  /// Appends what was held back.
  void finish(StreamState& state, std::string& out) const;

  /// The bytes of a piece that follows others.
  std::string bytes(std::string_view piece) const;

 private:
  std::string replace(std::string_view piece) const;
  void append_stripped(std::string_view text, StreamState& state, std::string& out) const;
  void flush_byte_run(StreamState& state, std::string& out) const;
};

}  // namespace prepack::text
