#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/tokenizer.h"
#include "weights/gguf_metadata.h"

namespace prepack::text {

/// Reads the tokenizer of a GGUF file: of the model "gpt2", which is byte-level BPE, or "llama",
/// which is SentencePiece's BPE.
/// @throws LoadError naming the key that is missing, malformed or not supported
std::unique_ptr<Tokenizer> parse_gguf_tokenizer(const GgufMetadata& metadata);

/// The spelling of the special token `role`, "bos" or "eos"; empty if the file names none.
/// @throws LoadError if its id is not in the vocabulary
std::string gguf_special_token(const GgufMetadata& metadata, std::string_view role);

/// The kinds of tokens, which are those of SentencePiece.
enum class GgufTokenType {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte,
};

/// One of a file's tokens.
struct GgufToken {
  std::string_view text;  // in the file's bytes
  GgufTokenType type;
};

/// The vocabulary, by id.
std::vector<GgufToken> read_gguf_tokens(const GgufMetadata& metadata);

/// The id of the special token `role`.
/// @throws LoadError if it is missing, or not one of `num_tokens`
TokenId gguf_special_id(const GgufMetadata& metadata, std::string_view role, size_t num_tokens);

// The two models, each in a file of its own.
std::unique_ptr<Tokenizer> parse_gguf_byte_level(const GgufMetadata& metadata);
std::unique_ptr<Tokenizer> parse_gguf_sentencepiece(const GgufMetadata& metadata);

}  // namespace prepack::text
