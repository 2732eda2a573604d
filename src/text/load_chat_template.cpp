#include <fmt/format.h>

#include "prepack/chat_template.h"
#include "prepack/error.h"
#include "text/component.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_file.h"
#include "weights/gguf.h"

namespace prepack {
namespace {

/// A special token of tokenizer_config.json: a string, or an object with its content.
std::string special_token(const text::Component& config, const char* key) {
  if (!config.has(key)) return "";
  const text::Component token = config.at(key);
  return token.is_object() ? token.text("content") : token.as_text();
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
    return ChatTemplate::recognise(source, text::gguf_special_token(metadata, "bos"),
                                   text::gguf_special_token(metadata, "eos"));
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
    return ChatTemplate::recognise(source, special_token(config, "bos_token"),
                                   special_token(config, "eos_token"));
  } catch (const LoadError& error) {
    throw LoadError(
        fmt::format("{}: {}", (has_jinja ? jinja_path : config_path).string(), error.what()));
  }
}

}  // namespace prepack
