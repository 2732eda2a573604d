#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "prepack/tokenizer.h"
#include "text/component.h"
#include "text/pipeline_tokenizer.h"
#include "text/tokenizer_file.h"

namespace prepack::text {

/// Reads the text of a Hugging Face tokenizer.json.
/// @param name  of the file, for messages
/// @throws LoadError for what is malformed or not supported
std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string_view json, const std::string& name);

/// The same of what was read already, or comes from a file of another format.
std::unique_ptr<Tokenizer> build_tokenizer(const TokenizerFile& file, const std::string& name);

// The parts of the file, each in a file of its own.
Normalizer parse_normalizer(const Component& normalizer);
PreTokenizer parse_pre_tokenizer(const Component& pre_tokenizer, bool& byte_level);
Decoder parse_decoder(const Component& decoder);
void parse_post_processor(const Component& post_processor, Pipeline& pipeline);
void parse_added_tokens(const Component& root, Pipeline& pipeline);

}  // namespace prepack::text
