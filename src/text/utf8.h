#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace prepack::text {

/// Offset of the first byte that does not belong to a well-formed UTF-8 character, if any.
std::optional<size_t> find_invalid_utf8(std::string_view bytes);

/// Number of bytes of the character that starts with `lead`, a valid lead byte.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character at `position` of valid UTF-8; moves `position` behind it.
char32_t next_char(std::string_view text, size_t& position);

/// The start of the character that ends before `position` (which is > 0) of valid UTF-8.
size_t previous_char_start(std::string_view text, size_t position);

void append_utf8(char32_t c, std::string& out);

/// Appends `bytes` to `out`, each maximal ill-formed part as one U+FFFD (Unicode 14, section 3.9;
/// what Rust's String::from_utf8_lossy does). Unless `final`, stops before an unfinished character
/// at the end. Returns the number of bytes consumed.
size_t append_lossy(std::string_view bytes, bool final, std::string& out);

/// U+FFFD
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// U+2581, SentencePiece's visible space.
inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";

}  // namespace prepack::text
