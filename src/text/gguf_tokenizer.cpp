#include "text/gguf_tokenizer.h"

#include <fmt/format.h>

#include "text/utf8.h"
#include "weights/json.h"

namespace prepack::text {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";

std::string id_key(std::string_view role) {
  return fmt::format("tokenizer.ggml.{}_token_id", role);
}

}  // namespace

std::vector<GgufToken> read_gguf_tokens(const GgufMetadata& metadata) {
  const auto texts = metadata.texts(kTokens);
  const auto types = metadata.integers(kTypes);
  if (types.size() != texts.size()) {
    metadata.fail(
        kTypes, fmt::format("expected {}, one for each token, got {}", texts.size(), types.size()));
  }
  std::vector<GgufToken> tokens;
  tokens.reserve(texts.size());
  for (size_t id = 0; id < texts.size(); ++id) {
    if (types[id] < static_cast<int64_t>(GgufTokenType::kNormal) ||
        types[id] > static_cast<int64_t>(GgufTokenType::kByte)) {
      metadata.fail(kTypes, fmt::format("token {} is of unknown type {}", id, types[id]));
    }
    if (find_invalid_utf8(texts[id])) {
      metadata.fail(kTokens, fmt::format("token {} is not valid UTF-8", id));
    }
    tokens.push_back({texts[id], static_cast<GgufTokenType>(types[id])});
  }
  return tokens;
}

TokenId gguf_special_id(const GgufMetadata& metadata, std::string_view role, size_t num_tokens) {
  const auto key = id_key(role);
  const int64_t id = metadata.integer(key);
  if (id < 0 || id >= static_cast<int64_t>(num_tokens)) {
    metadata.fail(key, fmt::format("expected one of {} tokens, got {}", num_tokens, id));
  }
  return static_cast<TokenId>(id);
}

std::string gguf_special_token(const GgufMetadata& metadata, std::string_view role) {
  if (!metadata.has(id_key(role))) return "";
  const auto texts = metadata.texts(kTokens);
  return std::string(texts[static_cast<size_t>(gguf_special_id(metadata, role, texts.size()))]);
}

std::unique_ptr<Tokenizer> parse_gguf_tokenizer(const GgufMetadata& metadata) {
  constexpr std::string_view kModel = "tokenizer.ggml.model";
  const auto model = metadata.text(kModel);
  if (model == "gpt2") return parse_gguf_byte_level(metadata);
  if (model == "llama") return parse_gguf_sentencepiece(metadata);
  metadata.fail(kModel, fmt::format("expected gpt2 or llama, got {}", printable(model)));
}

}  // namespace prepack::text
