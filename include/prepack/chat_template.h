#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace prepack {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

/// What a template may ask for beside the messages; most read neither.
struct ChatOptions {
  bool enable_thinking = true;  // whether answers may begin with reasoning, of qwen3 and
                                // smollm3; templates that always have it do not ask

  /// The date that llama3.1, smollm3 and some of mistral write. Absent: today's, or the one that
  /// the template names, as Llama 3.1's and 3.3's do.
  std::optional<std::chrono::year_month_day> date = {};
};

namespace text {
class ChatForm;
}

/// A model family's well-known way to write a conversation as one prompt. Templates are written
/// in Jinja in the model's files; they are recognised by their form, not interpreted: one that is
/// not known to write what we would write is an error. What tools would add is left out.
class ChatTemplate {
 public:
  /// @param jinja      the template's source
  /// @param bos_token  spelled, for the forms that write it; likewise `eos_token`
  /// @throws LoadError if it is none of the known forms
  static ChatTemplate recognise(std::string_view jinja, std::string bos_token = "",
                                std::string eos_token = "");

  /// Name of the form: "chatml", "llama2", "llama3", "llama3.1", "mistral", "phi3", "phi4",
  /// "phi4-mini", "qwen3", "qwq", "smollm3", "yi" or "zephyr".
  std::string_view name() const;

  /// The prompt that asks for the next assistant turn (add_generation_prompt = true). It contains
  /// every special token the form writes, BOS included, so encode it without adding any.
  /// @throws InvalidArgument for an unknown role, or an order of roles that the form does not allow
  ///         or of which it would leave a message out
  std::string apply(std::span<const ChatMessage> messages, const ChatOptions& options = {}) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const text::ChatForm> form) : form_(std::move(form)) {}

  std::shared_ptr<const text::ChatForm> form_;
};

/// Loads the template of a Hugging Face folder: chat_template.jinja, else "chat_template" in
/// tokenizer_config.json; or that of a GGUF file.
/// @param model  a Hugging Face folder, or a GGUF file
/// @throws LoadError if the model has none, or one of an unknown form
ChatTemplate load_chat_template(const std::filesystem::path& model);

}  // namespace prepack
