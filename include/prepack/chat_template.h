#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prepack {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

/// What a template may ask for beside the messages; most read neither.
struct ChatOptions {
  /// Whether answers may begin with hidden reasoning. Absent: as the template decides.
  std::optional<bool> enable_thinking = {};

  /// The date that the template writes. Absent: today's, or the one that the template names, as
  /// Llama 3.1's and 3.3's do.
  std::optional<std::chrono::year_month_day> date = {};
};

namespace jinja {
class Template;
}

/// How a model wants a conversation to be written as one prompt: a template in Jinja, of which
/// conversations without tools are rendered as transformers' apply_chat_template does.
/// Immutable: several threads may apply one.
class ChatTemplate {
 public:
  /// As the tokenizer spells them, by the names that templates know: {"bos_token", "<s>"}. Those
  /// that the tokenizer does not have are left out.
  using SpecialTokens = std::map<std::string, std::string>;

  /// @param jinja  the template's source
  /// @throws LoadError if it is no template, or has statements that are not supported, or if a
  ///         token is not valid UTF-8
  explicit ChatTemplate(std::string_view jinja, SpecialTokens special_tokens = {});

  /// The prompt that asks for the next assistant turn (add_generation_prompt = true). It contains
  /// every special token the template writes, BOS included, so encode it without adding any.
  /// @throws InvalidArgument for an unknown role, and for a conversation that the template refuses,
  ///         or of which it leaves a message out; and for one that takes the template more work
  ///         than any needs, as one without end does
  std::string apply(std::span<const ChatMessage> messages, const ChatOptions& options = {}) const;

 private:
  std::string render(std::span<const ChatMessage> messages, const ChatOptions& options) const;
  std::vector<size_t> find_unwritten(std::span<const ChatMessage> messages,
                                     const ChatOptions& options, bool at_end) const;
  void check_is_whole(std::span<const ChatMessage> messages, const ChatOptions& options) const;

  std::shared_ptr<const jinja::Template> template_;
  SpecialTokens special_tokens_;
};

/// Loads the template of a Hugging Face folder: chat_template.jinja, else "chat_template" in
/// tokenizer_config.json; or that of a GGUF file.
/// @param model  a Hugging Face folder, or a GGUF file
/// @throws LoadError if the model has none, or one that is not supported
ChatTemplate load_chat_template(const std::filesystem::path& model);

}  // namespace prepack
