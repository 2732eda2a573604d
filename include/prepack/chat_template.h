#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace prepack {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

/// A model family's well-known way to write a conversation as one prompt. Templates are written
/// in Jinja in the model's files; they are recognised by their form, not interpreted: one that is
/// not known to write what we would write (today's date, tools, hidden reasoning) is an error.
class ChatTemplate {
 public:
  /// @param jinja      the template's source
  /// @param bos_token  spelled, for the forms that write it; likewise `eos_token`
  /// @throws LoadError if it is none of the known forms
  static ChatTemplate recognise(std::string_view jinja, std::string bos_token = "",
                                std::string eos_token = "");

  /// Name of the form, "chatml", "llama2", "llama3", "mistral" or "zephyr".
  std::string_view name() const;

  /// The prompt that asks for the next assistant turn (add_generation_prompt = true). It contains
  /// every special token the form writes, BOS included, so encode it without adding any.
  /// @throws InvalidArgument for an unknown role or an order of roles that the form does not allow
  std::string apply(std::span<const ChatMessage> messages) const;

 private:
  enum class Form { kChatMl, kLlama2, kLlama3, kMistral, kZephyr };

  ChatTemplate(Form form, std::string bos_token, std::string eos_token)
      : form_(form), bos_token_(std::move(bos_token)), eos_token_(std::move(eos_token)) {}

  std::string write_chatml(std::span<const ChatMessage> messages) const;
  std::string write_llama2(std::span<const ChatMessage> messages) const;
  std::string write_llama3(std::span<const ChatMessage> messages) const;
  std::string write_mistral(std::span<const ChatMessage> messages) const;
  std::string write_zephyr(std::span<const ChatMessage> messages) const;

  Form form_;
  std::string bos_token_;
  std::string eos_token_;
  std::optional<std::string> default_system_;  // kChatMl: written where no system message is given
  std::string turn_end_;                       // kMistral: written behind EOS
};

/// Loads the template of a Hugging Face folder: chat_template.jinja, else "chat_template" in
/// tokenizer_config.json; or that of a GGUF file.
/// @param model  a Hugging Face folder, or a GGUF file
/// @throws LoadError if the model has none, or one of an unknown form
ChatTemplate load_chat_template(const std::filesystem::path& model);

}  // namespace prepack
