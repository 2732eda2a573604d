#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/token.h"

namespace prepack {

/// What a decoder remembers between two tokens of one sequence.
struct StreamState {
  std::string pending;       // bytes that are not yet whole characters
  int64_t num_tokens = 0;    // decoded so far, without those skipped
  int64_t num_stripped = 0;  // characters taken off the start of the text
};

/// Turns text into token ids and back. Immutable after loading: every method is const and may be
/// called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// @param add_special_tokens  adds BOS and EOS where the model's own files say so. Special
  ///                            tokens written out in `text` are recognised either way.
  /// @throws InvalidArgument if `text` is not valid UTF-8
  virtual TokenIds encode(std::string_view text, bool add_special_tokens = true) const = 0;

  /// The text of a whole sequence. Invalid UTF-8 becomes U+FFFD.
  /// @throws InvalidArgument for an id outside the vocabulary
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens = true) const;

  /// One step of `decode`: appends to `out` the text that is certain once `id` is known. It is
  /// whole UTF-8 characters.
  /// @throws InvalidArgument for an id outside the vocabulary
  virtual void decode_next(TokenId id, bool skip_special_tokens, StreamState& state,
                           std::string& out) const = 0;

  /// The end of `decode`: appends what was held back, and resets `state`.
  virtual void decode_rest(StreamState& state, std::string& out) const = 0;

  /// The bytes that `id` adds after other tokens; they may be part of a UTF-8 character.
  /// A special token adds nothing when `skip_special_tokens`.
  /// @throws InvalidArgument for an id outside the vocabulary
  virtual std::string token_bytes(TokenId id, bool skip_special_tokens = true) const = 0;

  /// The vocabulary's own spelling of a token ("▁the", "Ġthe", "<0x0A>").
  /// @throws InvalidArgument for an id outside the vocabulary
  virtual std::string piece(TokenId id) const = 0;

  /// The id of a vocabulary entry or added token spelled exactly so.
  virtual std::optional<TokenId> find(std::string_view piece) const = 0;

  /// Whether an id has a spelling. Models may have more logits than their tokenizer has tokens, to
  /// make the number a round one; a token so drawn stands for no text.
  virtual bool contains(TokenId id) const = 0;

  /// One more than the largest id.
  virtual int64_t vocab_size() const = 0;
};

/// Loads the tokenizer of a Hugging Face folder: tokenizer.json where there is one, else the
/// SentencePiece tokenizer.model. tokenizer_config.json, if present, says whether BOS and EOS are
/// added (add_bos_token, add_eos_token); a tokenizer.json says so in its post-processor. Of a GGUF
/// file it is the tokenizer in its metadata.
/// @param model  a Hugging Face folder, or a GGUF file
/// @throws LoadError if there is none, or one uses a component that is not supported (named)
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model);

/// Encodes many texts on `num_threads` threads; the result is in the order of `texts`.
/// @throws InvalidArgument naming the first text (counted from 0) that is not valid UTF-8
std::vector<TokenIds> encode_batch(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                   bool add_special_tokens, int num_threads);

/// Where the text of a sequence begins: at its first token; or behind other text, such as a prompt,
/// so that a space that the first token begins with is kept.
enum class TextStart { kAtFirstToken, kBehindText };

/// Decodes one sequence token by token. What `push` returns is always whole UTF-8 characters:
/// bytes of an unfinished character are held back until the token that completes them.
/// From the first token on, the concatenation of all `push`es and `finish` equals
/// `Tokenizer::decode` of the sequence.
class StreamDecoder {
 public:
  /// @param tokenizer  must outlive the decoder
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true,
                         TextStart start = TextStart::kAtFirstToken);

  std::string push(TokenId id);

  /// The rest; bytes that never became a character are returned as U+FFFD. The decoder is then
  /// ready for another sequence.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  TextStart start_;
  StreamState state_;
};

}  // namespace prepack
