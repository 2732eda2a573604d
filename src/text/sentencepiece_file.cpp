#include "text/sentencepiece_file.h"

#include <fmt/format.h>

#include <bit>
#include <bitset>
#include <cmath>

#include "prepack/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

/// Walks over the fields of a protocol buffer message. Ref: the protobuf encoding guide.
class Message {
 public:
  Message(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  /// Moves to the next field; false at the end.
  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    field_ = key >> 3;
    wire_type_ = key & 7;
    switch (wire_type_) {
      case 0:
        number_ = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        text_ = take(varint());
        break;
      case 5: {
        const std::string_view raw = take(4);
        number_ = 0;
        for (int i = 3; i >= 0; --i) number_ = number_ << 8 | static_cast<unsigned char>(raw[i]);
        break;
      }
      default:
        fail(fmt::format("unknown wire type {}", wire_type_));
    }
    return true;
  }

  uint64_t field() const { return field_; }
  std::string_view text() const { return expect(2), text_; }
  int64_t integer() const { return expect(0), static_cast<int64_t>(number_); }
  bool flag() const { return integer() != 0; }
  float real() const { return expect(5), std::bit_cast<float>(static_cast<uint32_t>(number_)); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw LoadError(fmt::format("{}: is not a SentencePiece model: {}", name_, what));
  }

  void expect(uint64_t wire_type) const {
    if (wire_type_ != wire_type) {
      fail(fmt::format("field {} has wire type {}, expected {}", field_, wire_type_, wire_type));
    }
  }

  std::string_view take(uint64_t size) {
    if (size > bytes_.size()) {
      fail(fmt::format("it ends {} bytes too early", size - bytes_.size()));
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number is too long");
  }

  std::string_view bytes_;
  const std::string& name_;
  uint64_t field_ = 0;
  uint64_t wire_type_ = 0;
  uint64_t number_ = 0;
  std::string_view text_;
};

SentencePieceFile::Piece read_piece(Message message) {
  SentencePieceFile::Piece piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.text();
    if (message.field() == 2) piece.score = message.real();
    if (message.field() == 3) piece.type = message.integer();
  }
  return piece;
}

void read_trainer_spec(Message message, SentencePieceFile& file) {
  while (message.next()) {
    switch (message.field()) {
      case 3:
        file.algorithm = message.integer();
        break;
      case 24:
        file.whitespace_as_suffix = message.flag();
        break;
      case 35:
        file.byte_fallback = message.flag();
        break;
      case 46:
        file.bos_piece = message.text();
        break;
      case 47:
        file.eos_piece = message.text();
        break;
      default:
        break;
    }
  }
}

void read_normalizer_spec(Message message, SentencePieceFile& file) {
  while (message.next()) {
    switch (message.field()) {
      case 2:
        file.character_map = message.text();
        break;
      case 3:
        file.add_dummy_prefix = message.flag();
        break;
      case 4:
        file.remove_extra_whitespaces = message.flag();
        break;
      case 5:
        file.escape_whitespaces = message.flag();
        break;
      default:
        break;
    }
  }
}

bool has_character_map(Message message) {
  while (message.next()) {
    if (message.field() == 2 && !message.text().empty()) return true;
  }
  return false;
}

}  // namespace

void check_pieces(const SentencePieceFile& file, const std::string& name) {
  size_t num_unknown = 0;
  std::bitset<256> bytes;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& piece = file.pieces[id];
    const auto fail = [&](std::string_view what) {
      throw LoadError(fmt::format("{}: piece {} {}", name, id, what));
    };
    if (piece.text.empty()) fail("is empty");
    if (find_invalid_utf8(piece.text)) fail("is not valid UTF-8");
    if (piece.text.find('\0') != std::string_view::npos) fail("contains a NUL");
    if (!std::isfinite(piece.score)) fail(fmt::format("\"{}\" has no finite score", piece.text));
    if (piece.type < SentencePieceFile::kNormal || piece.type > SentencePieceFile::kByte) {
      fail(fmt::format("\"{}\" is of unknown type {}", piece.text, piece.type));
    }
    num_unknown += piece.type == SentencePieceFile::kUnknown;
    if (piece.type == SentencePieceFile::kByte) {
      const auto byte = byte_of_piece(piece.text);
      if (!byte || bytes[*byte]) fail(fmt::format("\"{}\" is not a new byte", piece.text));
      bytes.set(*byte);
    }
  }
  if (num_unknown != 1) {
    throw LoadError(fmt::format("{}: expected one unknown piece, got {}", name, num_unknown));
  }
  if (file.byte_fallback && !bytes.all()) {
    throw LoadError(
        fmt::format("{}: byte_fallback needs 256 byte pieces, got {}", name, bytes.count()));
  }
}

SentencePieceFile read_sentencepiece_file(std::string_view bytes, const std::string& name) {
  SentencePieceFile file;
  Message message(bytes, name);
  while (message.next()) {
    switch (message.field()) {
      case 1:
        file.pieces.push_back(read_piece({message.text(), name}));
        break;
      case 2:
        read_trainer_spec({message.text(), name}, file);
        break;
      case 3:
        read_normalizer_spec({message.text(), name}, file);
        break;
      case 5:
        file.has_denormalizer = has_character_map({message.text(), name});
        break;
      default:
        break;
    }
  }
  check_pieces(file, name);
  return file;
}

}  // namespace prepack::text
