#include <fmt/format.h>

#include "prepack/chat_template.h"
#include "prepack/error.h"
#include "text/component.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_file.h"
#include "weights/gguf.h"

// A template is recognised by the fragments of its source that decide what it writes. White space
// between Jinja's tokens and the kind of quotes differ from model to model and mean nothing, so
// fragments are searched in a copy without either.

namespace prepack {
namespace {

class Source {
 public:
  explicit Source(std::string_view jinja) : raw_(jinja) {
    char quote = '\0';  // of the literal that we are in
    bool in_tag = false;
    for (size_t i = 0; i < jinja.size(); ++i) {
      const char c = jinja[i];
      if (quote != '\0') {
        if (c == quote) quote = '\0';
        compact_ += c == '\n' ? "\\n" : c == '"' ? "'" : std::string(1, c);
        if (c == '\\' && i + 1 < jinja.size()) compact_ += jinja[++i];
      } else if (in_tag && (c == '\'' || c == '"')) {
        quote = c;
        compact_ += '\'';
      } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
        compact_ += c;
        if (compact_.ends_with("{{") || compact_.ends_with("{%")) in_tag = true;
        if (compact_.ends_with("}}") || compact_.ends_with("%}")) in_tag = false;
      }
    }
  }

  bool has(std::string_view text) const { return raw_.find(text) != std::string_view::npos; }
  /// `text` without white space outside literals, with single quotes, and newlines escaped.
  bool has_compact(std::string_view text) const { return compact_.find(text) != std::string::npos; }
  /// Either spelling of a message's member: message['content'], message.content.
  bool has_with_member(std::string_view before, std::string_view member,
                       std::string_view after) const {
    return has_compact(fmt::format("{}message['{}']{}", before, member, after)) ||
           has_compact(fmt::format("{}message.{}{}", before, member, after));
  }
  std::string_view raw() const { return raw_; }

 private:
  std::string_view raw_;
  std::string compact_;
};

[[noreturn]] void fail(std::string_view what) {
  throw LoadError(fmt::format("the chat template {}", what));
}

void refuse(const Source& source, std::string_view form, std::string_view fragment,
            std::string_view why) {
  if (source.has(fragment)) fail(fmt::format("looks like {} but {} ({})", form, why, fragment));
}

void require(bool condition, std::string_view form, std::string_view what) {
  if (!condition) fail(fmt::format("looks like {} but does not write {}", form, what));
}

/// Jinja's escapes in a string literal.
std::string unescape(std::string_view literal) {
  std::string text;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      text += literal[i];
      continue;
    }
    const char c = literal[++i];
    if (c == 'n') {
      text += '\n';
    } else if (c == 't') {
      text += '\t';
    } else if (c == '\\' || c == '\'' || c == '"') {
      text += c;
    } else {
      fail(fmt::format("has an escape \\{} in its system message, which is not supported", c));
    }
  }
  return text;
}

/// The system message that stands in one literal with its turn:
/// '<|im_start|>system\n...<|im_end|>'.
std::optional<std::string> find_default_system(std::string_view jinja) {
  constexpr std::string_view kOpen = "<|im_start|>system", kClose = "<|im_end|>";
  for (size_t at = 0; (at = jinja.find(kOpen, at)) != std::string_view::npos;) {
    const char quote = at > 0 ? jinja[at - 1] : '\0';
    at += kOpen.size();
    if (quote != '\'' && quote != '"') continue;
    std::string_view rest = jinja.substr(at);
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const size_t end = rest.find(kClose);
    if (end == std::string_view::npos) break;
    const std::string_view text = rest.substr(0, end);
    bool closed = false;  // the literal ends before the turn does: the message is an expression
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == quote) {
        closed = true;
      }
    }
    if (!closed) return unescape(text);
  }
  return std::nullopt;
}

constexpr std::string_view kDates = "it writes the current date, which is not supported";
constexpr std::string_view kThinks = "it treats hidden reasoning, which is not supported";

std::optional<std::string> check_chatml(const Source& source) {
  constexpr std::string_view kForm = "chatml";
  for (const std::string_view word : {"strftime_now", "date_string"}) {
    refuse(source, kForm, word, kDates);
  }
  for (const std::string_view word : {"think", "reasoning"}) refuse(source, kForm, word, kThinks);
  for (const std::string_view word : {"trim", "strip", "bos_token"}) {
    refuse(source, kForm, word, "it writes messages differently");
  }
  require(source.has_with_member("'<|im_start|>'+", "role", "+'\\n'+"), kForm, "the role so");
  require(source.has_with_member("+'\\n'+", "content", "+'<|im_end|>'"), kForm, "the content so");
  require(source.has_compact("'<|im_start|>assistant\\n'"), kForm, "a generation prompt");
  // A default may also be put together from several literals, which is beyond us.
  const auto system = find_default_system(source.raw());
  if (!system) {
    refuse(source, kForm, "system_message", "its system message is not understood");
    refuse(source, kForm, "'system'", "its system message is not understood");
    refuse(source, kForm, "\"system\"", "its system message is not understood");
  }
  return system;
}

void check_llama3(const Source& source) {
  constexpr std::string_view kForm = "llama3";
  for (const std::string_view word : {"strftime_now", "date_string", "Cutting Knowledge"}) {
    refuse(source, kForm, word, kDates);
  }
  refuse(source, kForm, "tools", "it writes tools, which is not supported");
  require(source.has_with_member("'<|start_header_id|>'+", "role", "+'<|end_header_id|>\\n\\n'+"),
          kForm, "the role so");
  require(source.has_with_member("+", "content", "|trim+'<|eot_id|>'"), kForm, "the content so");
  require(source.has_compact("bos_token+content"), kForm, "BOS");
  require(source.has_compact("'<|start_header_id|>assistant<|end_header_id|>\\n\\n'"), kForm,
          "a generation prompt");
}

void check_llama2(const Source& source) {
  constexpr std::string_view kForm = "llama2";
  for (const std::string_view word : {"tools", "USE_DEFAULT_PROMPT", "DEFAULT_SYSTEM"}) {
    refuse(source, kForm, word, "it writes more, which is not supported");
  }
  require(source.has_compact("'<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'+"), kForm,
          "the system message so");
  require(source.has_compact("bos_token+'[INST] '+content.strip()+' [/INST]'"), kForm,
          "user messages so");
  require(source.has_compact("' '+content.strip()+' '+eos_token"), kForm, "assistant messages so");
}

/// @returns what is written behind EOS
std::string check_mistral(const Source& source) {
  constexpr std::string_view kForm = "mistral";
  for (const std::string_view word : {"tools", "system", "strip", "trim"}) {
    refuse(source, kForm, word, "it is a later version, which is not supported");
  }
  require(source.has_compact("{{bos_token}}"), kForm, "BOS first");
  require(source.has_with_member("{{'[INST] '+", "content", "+' [/INST]'}}"), kForm,
          "user messages so");
  if (source.has_with_member("{{", "content", "+eos_token}}")) return "";
  require(source.has_with_member("{{", "content", "+eos_token+' '}}"), kForm,
          "assistant messages so");
  return " ";
}

void check_zephyr(const Source& source) {
  constexpr std::string_view kForm = "zephyr";
  for (const std::string_view role : {"user", "system", "assistant"}) {
    require(source.has_with_member(fmt::format("'<|{}|>\\n'+", role), "content", "+eos_token}}"),
            kForm, fmt::format("{} messages so", role));
  }
  // A newline behind {{ ... }} is text; behind {% ... %} it is dropped.
  require(source.has("eos_token }}\n") && !source.has("eos_token }}{"), kForm,
          "a newline behind each message");
  require(source.has("'<|assistant|>' }}\n") || source.has("\"<|assistant|>\" }}\n"), kForm,
          "a generation prompt");
}

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

ChatTemplate ChatTemplate::recognise(std::string_view jinja, std::string bos_token,
                                     std::string eos_token) {
  const Source source(jinja);
  const auto make = [&](Form form) {
    return ChatTemplate(form, std::move(bos_token), std::move(eos_token));
  };
  if (source.has("<|im_start|>")) {
    auto system = check_chatml(source);
    ChatTemplate result = make(Form::kChatMl);
    result.default_system_ = std::move(system);
    return result;
  }
  if (source.has("<|start_header_id|>")) {
    check_llama3(source);
    return make(Form::kLlama3);
  }
  if (source.has("[INST]") && source.has("<<SYS>>")) {
    check_llama2(source);
    return make(Form::kLlama2);
  }
  if (source.has("[INST]")) {
    std::string turn_end = check_mistral(source);
    ChatTemplate result = make(Form::kMistral);
    result.turn_end_ = std::move(turn_end);
    return result;
  }
  if (source.has("<|user|>") && source.has("eos_token")) {
    check_zephyr(source);
    return make(Form::kZephyr);
  }
  fail("is of no known form (chatml, llama2, llama3, mistral, zephyr)");
}

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
