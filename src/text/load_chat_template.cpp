#include <fmt/format.h>

#include "prepack/chat_template.h"
#include "prepack/error.h"
#include "text/component.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_file.h"
#include "weights/gguf.h"

namespace prepack {
namespace {

/// Those of tokenizer_config.json: each a string, or an object with its content.
ChatTemplate::SpecialTokens special_tokens(const text::Component& config) {
  ChatTemplate::SpecialTokens tokens;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    if (!config.has(name)) continue;
    const text::Component token = config.at(name);
    tokens[name] = token.is_object() ? token.text("content") : token.as_text();
  }
  return tokens;
}

/// "chat_template" is the source, or a list of named sources.
std::string template_source(const text::Component& config) {
  if (!config.has("chat_template")) config.fail("has no chat_template");
  if (!config.at("chat_template").is_array()) return config.text("chat_template");
  for (const text::Component& entry : config.list("chat_template")) {
    if (entry.text("name") == "default") return entry.text("template");
  }
  config.at("chat_template").fail("has none named \"default\"");
}

ChatTemplate load_gguf_chat_template(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  const auto source = metadata.text(kKey);
  try {
    ChatTemplate::SpecialTokens tokens = {{"bos_token", text::gguf_special_token(metadata, "bos")},
                                          {"eos_token", text::gguf_special_token(metadata, "eos")}};
    std::erase_if(tokens, [](const auto& token) { return token.second.empty(); });
    return ChatTemplate(source, std::move(tokens));
  } catch (const LoadError& error) {
    metadata.fail(kKey, error.what());
  }
}

}  // namespace

ChatTemplate load_chat_template(const std::filesystem::path& model) {
  if (names_gguf(model)) return load_gguf_chat_template(open_gguf(model).header.metadata);
  const auto config_path = model / "tokenizer_config.json";
  const auto jinja_path = model / "chat_template.jinja";
  const bool has_config = std::filesystem::exists(config_path);
  const bool has_jinja = std::filesystem::exists(jinja_path);
  if (!has_config && !has_jinja) {
    throw LoadError(fmt::format("{}: has neither chat_template.jinja nor tokenizer_config.json",
                                model.string()));
  }
  const nlohmann::json json = has_config ? text::read_json(config_path) : nlohmann::json::object();
  const text::Component config(json, config_path.string());
  const std::string source = has_jinja ? text::read_file(jinja_path) : template_source(config);
  try {
    return ChatTemplate(source, special_tokens(config));
  } catch (const LoadError& error) {
    throw LoadError(
        fmt::format("{}: {}", (has_jinja ? jinja_path : config_path).string(), error.what()));
  }
}

}  // namespace prepack
