#include "text/byte_level.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "text/utf8.h"

namespace prepack::text {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Tables {
  std::array<uint16_t, 256> char_of{};
  std::array<int16_t, 512> byte_of{};  // -1: spells no byte
};

constexpr Tables kTables = [] {
  Tables tables;
  tables.byte_of.fill(-1);
  uint16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const uint16_t c = stands_for_itself(byte) ? static_cast<uint16_t>(byte) : next++;
    tables.char_of[byte] = c;
    tables.byte_of[c] = static_cast<int16_t>(byte);
  }
  return tables;
}();

}  // namespace

char32_t byte_to_char(unsigned char byte) { return kTables.char_of[byte]; }

void append_byte_level(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) append_utf8(byte_to_char(static_cast<unsigned char>(byte)), out);
}

void append_bytes_of(std::string_view piece, std::string& out) {
  const size_t start = out.size();
  for (size_t i = 0; i < piece.size();) {
    const char32_t c = next_char(piece, i);
    if (c >= kTables.byte_of.size() || kTables.byte_of[c] < 0) {
      out.resize(start);
      out.append(piece);
      return;
    }
    out.push_back(static_cast<char>(kTables.byte_of[c]));
  }
}

std::optional<unsigned char> byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  unsigned char byte = 0;
  const char* digits = piece.data() + 3;
  const auto [end, error] = std::from_chars(digits, digits + 2, byte, 16);
  if (error != std::errc() || end != digits + 2) return std::nullopt;
  return byte;
}

}  // namespace prepack::text
