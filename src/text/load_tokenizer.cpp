#include <fmt/format.h>

#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "text/gguf_tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_json.h"
#include "weights/gguf.h"

namespace prepack {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model) {
  if (names_gguf(model)) return text::parse_gguf_tokenizer(open_gguf(model).header.metadata);
  const auto json = model / "tokenizer.json";
  if (std::filesystem::exists(json)) {
    return text::parse_tokenizer_json(text::read_file(json), json.string());
  }
  const auto sentencepiece = model / "tokenizer.model";
  if (!std::filesystem::exists(sentencepiece)) {
    throw LoadError(
        fmt::format("{}: has neither tokenizer.json nor tokenizer.model", model.string()));
  }
  const auto config_path = model / "tokenizer_config.json";
  const nlohmann::json config = std::filesystem::exists(config_path) ? text::read_json(config_path)
                                                                     : nlohmann::json::object();
  return text::parse_sentencepiece(text::read_file(sentencepiece), sentencepiece.string(),
                                   text::Component(config, config_path.string()));
}

}  // namespace prepack
