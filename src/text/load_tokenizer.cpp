#include <fmt/format.h>

#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_json.h"

namespace prepack {

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const auto json = folder / "tokenizer.json";
  if (std::filesystem::exists(json)) {
    return text::parse_tokenizer_json(text::read_file(json), json.string());
  }
  const auto model = folder / "tokenizer.model";
  if (!std::filesystem::exists(model)) {
    throw LoadError(
        fmt::format("{}: has neither tokenizer.json nor tokenizer.model", folder.string()));
  }
  const auto config_path = folder / "tokenizer_config.json";
  const nlohmann::json config = std::filesystem::exists(config_path) ? text::read_json(config_path)
                                                                     : nlohmann::json::object();
  return text::parse_sentencepiece(text::read_file(model), model.string(),
                                   text::Component(config, config_path.string()));
}

}  // namespace prepack
