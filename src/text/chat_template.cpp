#include "prepack/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "prepack/error.h"
#include "text/chat/form.h"
#include "text/chat/source.h"
#include "text/chat/writing.h"
#include "text/utf8.h"

namespace prepack {
namespace {

// The more particular ones first.
constexpr std::array kRecognisers = {
    text::recognise_qwen3,     text::recognise_qwq,    text::recognise_smollm3,
    text::recognise_phi4,      text::recognise_yi,     text::recognise_chatml,
    text::recognise_llama3,    text::recognise_llama2, text::recognise_mistral,
    text::recognise_phi4_mini, text::recognise_phi3,   text::recognise_zephyr,
};

}  // namespace

ChatTemplate ChatTemplate::recognise(std::string_view jinja, std::string bos_token,
                                     std::string eos_token) {
  const text::ChatSource source(jinja);
  const text::ChatTokens tokens{std::move(bos_token), std::move(eos_token)};
  for (const auto& recognise_form : kRecognisers) {
    if (auto form = recognise_form(source, tokens)) return ChatTemplate(std::move(form));
  }
  text::fail_template(
      "is of no known form (chatml, llama2, llama3, llama3.1, mistral, phi3, phi4, phi4-mini, "
      "qwen3, qwq, smollm3, yi, zephyr)");
}

std::string_view ChatTemplate::name() const { return form_->name(); }

std::string ChatTemplate::apply(std::span<const ChatMessage> messages,
                                const ChatOptions& options) const {
  if (messages.empty()) throw InvalidArgument("a conversation needs at least one message");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      text::fail_role(i, "system\", \"user\" or \"assistant", role);
    }
    if (const auto offset = text::find_invalid_utf8(messages[i].content)) {
      throw InvalidArgument(fmt::format("message {}: not valid UTF-8 at byte {}", i, *offset));
    }
  }
  return form_->write(messages, options);
}

}  // namespace prepack
