#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "prepack/chat_template.h"
#include "text/chat/source.h"

namespace prepack::text {

/// One way to write conversations.
class ChatForm {
 public:
  virtual ~ChatForm() = default;
  virtual std::string_view name() const = 0;

  /// @param messages  at least one; roles are known, contents are valid UTF-8
  virtual std::string write(std::span<const ChatMessage> messages,
                            const ChatOptions& options) const = 0;
};

using ChatFormPtr = std::shared_ptr<const ChatForm>;

/// Spelled as the tokenizer spells them; empty where it has none.
struct ChatTokens {
  std::string bos;
  std::string eos;
};

// Each looks for its own form in a template.
// @return null if the template is of another form
// @throws LoadError if it looks like this one but is not known to write what we would write

ChatFormPtr recognise_chatml(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_llama2(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_llama3(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_mistral(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_phi3(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_phi4(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_phi4_mini(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_qwen3(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_qwq(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_smollm3(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_yi(const ChatSource& source, const ChatTokens& tokens);
ChatFormPtr recognise_zephyr(const ChatSource& source, const ChatTokens& tokens);

}  // namespace prepack::text
