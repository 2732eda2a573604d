#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prepack::text {

/// GPT-2's spelling of bytes: each of the 256 bytes has a printable character, so that a vocabulary
/// of byte strings can be written as text (a space is "Ġ"). Ref: bytes_to_unicode in OpenAI's GPT-2
/// encoder.py; printable Latin-1 stands for itself, the other bytes for U+0100 onwards, in order.
char32_t byte_to_char(unsigned char byte);

/// The bytes spelled as characters.
void append_byte_level(std::string_view bytes, std::string& out);

/// The characters as bytes. A piece with any character that spells no byte stands for itself,
/// which is how added tokens ("<|im_start|> ") get through.
void append_bytes_of(std::string_view piece, std::string& out);

/// The byte that a byte piece ("<0x0A>") of SentencePiece's byte fallback stands for.
std::optional<unsigned char> byte_of_piece(std::string_view piece);

}  // namespace prepack::text
