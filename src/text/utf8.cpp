#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace prepack::text {
namespace {

enum class Check { kWhole, kIllFormed, kUnfinished };

struct Sequence {
  Check check;
  size_t length;  // of the character, of the maximal ill-formed part, or of what there is
};

/// Looks at the sequence that starts at `bytes[0]`. Table 3-7 of the Unicode standard.
Sequence scan(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {Check::kWhole, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Check::kIllFormed, 1};
  const size_t length = utf8_length(bytes[0]);
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Check::kUnfinished, i};
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;  // no surrogates
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;  // nothing above U+10FFFF
    }
    if (at(i) < low || at(i) > high) return {Check::kIllFormed, i};
  }
  return {Check::kWhole, length};
}

size_t skip_ascii(std::string_view bytes, size_t position) {
  while (position + 8 <= bytes.size()) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + position, 8);
    if (word & 0x8080808080808080ULL) break;
    position += 8;
  }
  while (position < bytes.size() && static_cast<unsigned char>(bytes[position]) < 0x80) ++position;
  return position;
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view bytes) {
  for (size_t i = skip_ascii(bytes, 0); i < bytes.size(); i = skip_ascii(bytes, i)) {
    const Sequence sequence = scan(bytes.substr(i));
    if (sequence.check != Check::kWhole) return i;
    i += sequence.length;
  }
  return std::nullopt;
}

char32_t next_char(std::string_view text, size_t& position) {
  const auto at = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  const size_t i = position;
  const size_t length = utf8_length(text[i]);
  position += length;
  switch (length) {
    case 1:
      return at(i);
    case 2:
      return (at(i) & 0x1F) << 6 | (at(i + 1) & 0x3F);
    case 3:
      return (at(i) & 0x0F) << 12 | (at(i + 1) & 0x3F) << 6 | (at(i + 2) & 0x3F);
    default:
      return (at(i) & 0x07) << 18 | (at(i + 1) & 0x3F) << 12 | (at(i + 2) & 0x3F) << 6 |
             (at(i + 3) & 0x3F);
  }
}

size_t previous_char_start(std::string_view text, size_t position) {
  do --position;
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  return position;
}

void append_utf8(char32_t c, std::string& out) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t append_lossy(std::string_view bytes, bool final, std::string& out) {
  size_t i = 0;
  while (i < bytes.size()) {
    const size_t ascii_end = skip_ascii(bytes, i);
    out.append(bytes.substr(i, ascii_end - i));
    i = ascii_end;
    if (i == bytes.size()) break;
    const Sequence sequence = scan(bytes.substr(i));
    if (sequence.check == Check::kUnfinished && !final) break;
    out.append(sequence.check == Check::kWhole ? bytes.substr(i, sequence.length)
                                               : kReplacementCharacter);
    i += sequence.length;
  }
  return i;
}

}  // namespace prepack::text
