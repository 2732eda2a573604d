#include "text/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "prepack/error.h"
#include "text/pipeline_tokenizer.h"
#include "text/sentencepiece_bpe.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

using Type = SentencePieceFile::Type;

std::shared_ptr<const Vocabulary> build_vocabulary(const SentencePieceFile& file,
                                                   const std::string& name) {
  auto vocabulary = std::make_shared<Vocabulary>();
  size_t num_bytes = 0;
  for (const auto& piece : file.pieces) num_bytes += piece.text.size();
  vocabulary->reserve(file.pieces.size(), num_bytes);
  for (const auto& piece : file.pieces) {
    const TokenId id = vocabulary->end_id();
    if (!vocabulary->add(piece.text, id)) {
      throw LoadError(fmt::format("{}: piece {} \"{}\" occurs twice, or there are too many", name,
                                  id, piece.text));
    }
  }
  return vocabulary;
}

void mark_special(Pipeline& pipeline, TokenId id) {
  if (pipeline.special.size() <= static_cast<size_t>(id)) pipeline.special.resize(id + 1);
  pipeline.special[id] = true;
}

TokenId parse_id(const std::string& text, const Component& where) {
  TokenId id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0 ||
      id > Vocabulary::kMaxId) {
    where.fail("expected a token id as its name");
  }
  return id;
}

/// Tokens of the configuration: the vocabulary's own, or new ones behind it.
void read_added_tokens(const Component& config, Pipeline& pipeline,
                       std::map<TokenId, AddedToken>& tokens) {
  if (!config.has("added_tokens_decoder")) return;
  for (const auto& [name, token] : config.members("added_tokens_decoder")) {
    AddedToken added{token.text("content"), parse_id(name, token),
                     token.flag_or("single_word", false), token.flag_or("lstrip", false),
                     token.flag_or("rstrip", false)};
    if (added.pattern.empty()) token.fail("has no content");
    const auto known = pipeline.vocabulary->find(added.pattern);
    if (known ? *known != added.id : pipeline.vocabulary->contains(added.id)) {
      token.fail(fmt::format("\"{}\" contradicts the model's pieces", added.pattern));
    }
    if (!pipeline.added.add(added.pattern, added.id)) {
      token.fail(fmt::format("\"{}\" or its id occurs twice", added.pattern));
    }
    if (token.flag_or("special", false)) mark_special(pipeline, added.id);
    tokens[added.id] = std::move(added);
  }
}

/// The id of bos_token or eos_token, which the configuration may rename.
TokenId find_token(const Component& config, const char* key, std::string_view fallback,
                   const Pipeline& pipeline, const std::string& name) {
  std::string content(fallback);
  if (config.has(key)) {
    const Component token = config.at(key);
    content = token.is_object() ? token.text("content") : token.as_text();
  }
  if (const auto id = pipeline.added.find(content)) return *id;
  if (const auto id = pipeline.vocabulary->find(content)) return *id;
  throw LoadError(fmt::format("{}: the {} \"{}\" is not in the vocabulary", name, key, content));
}

void set_up_added_tokens(const SentencePieceFile& file, const Component& config,
                         const std::string& name, Pipeline& pipeline) {
  std::map<TokenId, AddedToken> raw;
  std::vector<AddedToken> user_defined;
  for (size_t i = 0; i < file.pieces.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const auto& piece = file.pieces[i];
    if (piece.type == Type::kControl) raw[id] = {std::string(piece.text), id};
    if (piece.type == Type::kUserDefined) user_defined.push_back({std::string(piece.text), id});
    if (piece.type == Type::kControl || piece.type == Type::kUnknown) mark_special(pipeline, id);
  }
  read_added_tokens(config, pipeline, raw);

  if (config.flag_or("add_bos_token", true)) {
    pipeline.prefix.push_back(find_token(config, "bos_token", file.bos_piece, pipeline, name));
  }
  if (config.flag_or("add_eos_token", false)) {
    pipeline.suffix.push_back(find_token(config, "eos_token", file.eos_piece, pipeline, name));
  }
  std::vector<AddedToken> tokens;
  for (auto& [id, token] : raw) tokens.push_back(std::move(token));
  pipeline.raw_tokens = AddedTokenMatcher(std::move(tokens));
  pipeline.normalized_tokens = AddedTokenMatcher(std::move(user_defined));
}

void set_up_decoder(const SentencePieceFile& file, Decoder& decoder) {
  decoder.form = Decoder::Form::kPieces;
  decoder.replacements = {{std::string(kMetaspace), " "}};
  decoder.byte_fallback = file.byte_fallback;
  decoder.strip.assign(1, ' ');
  decoder.strip_count = file.add_dummy_prefix ? 1 : 0;
}

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(const std::string& bytes, const std::string& name,
                                               const Component& config) {
  return build_sentencepiece(read_sentencepiece_file(bytes, name), bytes, name, config);
}

std::unique_ptr<Tokenizer> build_sentencepiece(const SentencePieceFile& file,
                                               std::string_view bytes, const std::string& name,
                                               const Component& config) {
  if (file.has_denormalizer) throw LoadError(name + ": a denormalizer is not supported");
  const bool legacy = config.flag_or("legacy", true);

  Pipeline pipeline;
  pipeline.vocabulary = build_vocabulary(file, name);
  set_up_added_tokens(file, config, name, pipeline);
  set_up_decoder(file, pipeline.decoder);
  pipeline.model = build_sentencepiece_bpe(file, pipeline.vocabulary);
  if (pipeline.model) {
    pipeline.normalizer.add(
        SentencePieceSpaces{file.add_dummy_prefix, !legacy, file.remove_extra_whitespaces});
  } else {
    if (bytes.empty()) {
      throw LoadError(
          name +
          ": the vocabulary is one that only the SentencePiece library can encode with, "
          "which needs the folder's tokenizer.model");
    }
    if (!legacy) config.at("legacy").fail("false is supported for plain BPE models only");
    pipeline.normalized_tokens = AddedTokenMatcher();  // the library finds the user-defined pieces
    pipeline.model = load_sentencepiece_library(file, bytes, name);
  }
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace prepack::text
