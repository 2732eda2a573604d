#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "prepack/tokenizer.h"
#include "text/component.h"
#include "text/sentencepiece_file.h"

namespace prepack::text {

/// Reads a SentencePiece tokenizer.model. Text is encoded as the SentencePiece library encodes it,
/// with these additions, which are those of Hugging Face's LlamaTokenizer:
///   - control pieces ("<s>") and the added_tokens_decoder's tokens written in the text are those
///   tokens;
///     what lies between them is encoded piece by piece, each with its dummy prefix ("legacy", the
///     default) or only the start of the text ("legacy": false);
///   - BOS is put in front unless add_bos_token is false, EOS behind if add_eos_token is true.
/// Decoding is that of the tokenizer.json which Hugging Face makes of such a model.
/// @param bytes   of the file
/// @param name    of the file, for messages
/// @param config  tokenizer_config.json, or an empty object
/// @throws LoadError for what is malformed or not supported
std::unique_ptr<Tokenizer> parse_sentencepiece(const std::string& bytes, const std::string& name,
                                               const Component& config);

/// The same of what was read already, or comes from a file of another format.
/// @param bytes  of the tokenizer.model; empty where there is none: then a model that only the
///               SentencePiece library can run is an error
std::unique_ptr<Tokenizer> build_sentencepiece(const SentencePieceFile& file,
                                               std::string_view bytes, const std::string& name,
                                               const Component& config);

}  // namespace prepack::text
