// libFuzzer entry point: the first byte chooses the format, the rest is the file and a text, with a
// zero byte between them. Whatever the bytes are, only the library's own errors may come out, and
// what was encoded must decode, as a whole and as a stream.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "prepack/chat_template.h"
#include "prepack/error.h"
#include "text/component.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace {

using namespace prepack;

void use(const Tokenizer& tokenizer, std::string_view input) {
  for (const bool special : {false, true}) {
    const TokenIds ids = tokenizer.encode(input, special);
    const std::string whole = tokenizer.decode(ids, special);
    StreamDecoder decoder(tokenizer, special);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string part = decoder.push(id);
      if (text::find_invalid_utf8(part)) std::abort();
      streamed += part;
      tokenizer.token_bytes(id, special);
    }
    if (streamed + decoder.finish() != whole) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = input.rfind('\0');
  const std::string file(input.substr(0, cut));
  const std::string_view sample =
      cut == std::string_view::npos ? "a sample text" : input.substr(cut + 1);
  static const nlohmann::json kEmpty = nlohmann::json::object();
  try {
    switch (data[0] % 3) {
      case 0:
        use(*text::parse_tokenizer_json(file, "tokenizer.json"), sample);
        break;
      case 1:
        use(*text::parse_sentencepiece(file, "tokenizer.model",
                                       text::Component(kEmpty, "tokenizer_config.json")),
            sample);
        break;
      default: {
        const ChatMessage message{"user", std::string(sample)};
        ChatTemplate(file, {{"bos_token", "<s>"}, {"eos_token", "</s>"}}).apply({&message, 1});
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
