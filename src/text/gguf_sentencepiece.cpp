#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "text/component.h"
#include "text/gguf_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"

// A GGUF file has the pieces of a tokenizer.model with their scores and types, and among them the
// tokens that Hugging Face's own files add: user-defined ones are these, as converters write the
// model's own as normal pieces. That each part of the text between added tokens has a space put in
// front ("legacy"), as llama.cpp does it, is not in the file.

namespace prepack::text {
namespace {

SentencePieceFile read_pieces(const GgufMetadata& metadata) {
  constexpr std::string_view kScores = "tokenizer.ggml.scores";
  auto tokens = read_gguf_tokens(metadata);
  const auto scores = metadata.numbers(kScores);
  if (scores.size() != tokens.size()) {
    metadata.fail(kScores, fmt::format("expected {}, one for each token, got {}", tokens.size(),
                                       scores.size()));
  }
  // These only fill up the vocabulary to the rows of the model's embedding.
  while (!tokens.empty() && tokens.back().type == GgufTokenType::kUnused) tokens.pop_back();

  SentencePieceFile file;
  file.algorithm = SentencePieceFile::kBpe;
  for (size_t id = 0; id < tokens.size(); ++id) {
    file.pieces.push_back({tokens[id].text, scores[id], static_cast<int64_t>(tokens[id].type)});
  }
  file.byte_fallback = std::ranges::any_of(
      tokens, [](const GgufToken& token) { return token.type == GgufTokenType::kByte; });
  file.add_dummy_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix", true);
  file.remove_extra_whitespaces =
      metadata.boolean("tokenizer.ggml.remove_extra_whitespaces", false);
  check_pieces(file, metadata.source());
  return file;
}

/// Tokens that are found in the text as it is, beside control tokens; as tokenizer_config.json
/// would have them.
nlohmann::json added_tokens(const SentencePieceFile& file) {
  auto tokens = nlohmann::json::object();
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& piece = file.pieces[id];
    const bool is_unknown = piece.type == SentencePieceFile::kUnknown;
    if (!is_unknown && piece.type != SentencePieceFile::kUserDefined) continue;
    tokens[std::to_string(id)] = {{"content", piece.text}, {"special", is_unknown}};
  }
  return tokens;
}

}  // namespace

std::unique_ptr<Tokenizer> parse_gguf_sentencepiece(const GgufMetadata& metadata) {
  const auto file = read_pieces(metadata);
  nlohmann::json config = {
      {"add_bos_token", metadata.boolean("tokenizer.ggml.add_bos_token", true)},
      {"add_eos_token", metadata.boolean("tokenizer.ggml.add_eos_token", false)},
      {"added_tokens_decoder", added_tokens(file)},
  };
  for (const auto* role : {"bos", "eos"}) {
    const auto token = gguf_special_token(metadata, role);
    if (!token.empty()) config[fmt::format("{}_token", role)] = token;
  }
  return build_sentencepiece(file, /*bytes=*/"", metadata.source(),
                             Component(config, metadata.source()));
}

}  // namespace prepack::text
