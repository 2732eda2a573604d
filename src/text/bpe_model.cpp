#include "text/bpe_model.h"

#include <fmt/format.h>

#include "text/byte_level.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

/// The first "x▁" at or after `from`, x not being "▁": the position between the two.
size_t find_word_end(std::string_view text, size_t from) {
  constexpr size_t kSize = kMetaspace.size();
  while (true) {
    const size_t at = text.find(kMetaspace, from);
    if (at == std::string_view::npos) return text.size();
    if (at > 0 && !text.substr(0, at).ends_with(kMetaspace)) return at;
    from = at + kSize;
  }
}

}  // namespace

BpeModel::BpeModel(std::shared_ptr<const Vocabulary> vocabulary, MergeTable merges, Options options)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), options_(options) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string spelling;
    if (options_.byte_level) {
      append_utf8(byte_to_char(static_cast<unsigned char>(byte)), spelling);
    } else {
      spelling = fmt::format("<0x{:02X}>", byte);
    }
    byte_ids_[byte] = vocabulary_->find(spelling).value_or(-1);
    if (byte < 128) {
      const char c = static_cast<char>(byte);
      ascii_ids_[byte] = vocabulary_->find({&c, 1}).value_or(-1);
    }
  }
}

void BpeModel::encode(std::string_view piece, Scratch& scratch, TokenIds& out) const {
  if (!options_.words_at_metaspace) return encode_word(piece, scratch, out);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = find_word_end(piece, begin + 1);
    encode_word(piece.substr(begin, end - begin), scratch, out);
    begin = end;
  }
}

void BpeModel::encode_word(std::string_view word, Scratch& scratch, TokenIds& out) const {
  if (word.empty()) return;
  if (word.size() > WordCache::kMaxBytes) return encode_new_word(word, scratch, out);
  const uint64_t hash = hash_bytes(word);
  if (scratch.cache.lookup(word, hash, out)) return;
  const size_t start = out.size();
  encode_new_word(word, scratch, out);
  scratch.cache.store(word, hash, std::span(out).subspan(start));
}

void BpeModel::encode_new_word(std::string_view word, Scratch& scratch, TokenIds& out) const {
  if (options_.ignore_merges) {
    std::string_view spelling = word;
    if (options_.byte_level) {
      scratch.spelling.clear();
      append_byte_level(word, scratch.spelling);
      spelling = scratch.spelling;
    }
    if (const auto id = vocabulary_->find(spelling)) {
      out.push_back(*id);
      return;
    }
  }
  scratch.symbols.clear();
  if (options_.byte_level) {
    start_with_bytes(word, scratch.symbols);
  } else {
    start_with_characters(word, scratch.symbols);
  }
  merge_symbols(merges_, scratch.symbols, scratch.merge);
  out.insert(out.end(), scratch.symbols.begin(), scratch.symbols.end());
}

/// The unknown token of a word in the making. It is written when a known character follows, but not
/// before the bytes of another unknown one: that is the order in which Hugging Face writes them.
class BpeModel::PendingUnknown {
 public:
  PendingUnknown(const Options& options, TokenIds& symbols)
      : options_(options), symbols_(symbols) {}

  void add() {
    if (!options_.fuse_unk) flush();
    pending_ = options_.unk.has_value();
  }
  void flush() {
    if (pending_) symbols_.push_back(*options_.unk);
    pending_ = false;
  }

 private:
  const Options& options_;
  TokenIds& symbols_;
  bool pending_ = false;
};

void BpeModel::start_with_bytes(std::string_view word, TokenIds& symbols) const {
  PendingUnknown unknown(options_, symbols);
  for (const char byte : word) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id < 0) {
      unknown.add();
    } else {
      unknown.flush();
      symbols.push_back(id);
    }
  }
  unknown.flush();
}

void BpeModel::start_with_characters(std::string_view word, TokenIds& symbols) const {
  PendingUnknown unknown(options_, symbols);
  for (size_t i = 0; i < word.size();) {
    const std::string_view c = word.substr(i, utf8_length(word[i]));
    i += c.size();
    const TokenId id = c.size() == 1 ? ascii_ids_[static_cast<unsigned char>(c[0])]
                                     : vocabulary_->find(c).value_or(-1);
    if (id >= 0) {
      unknown.flush();
      symbols.push_back(id);
    } else if (!options_.byte_fallback || !append_byte_pieces(c, symbols)) {
      unknown.add();
    }
  }
  unknown.flush();
}

bool BpeModel::append_byte_pieces(std::string_view character, TokenIds& symbols) const {
  const size_t before = symbols.size();
  for (const char byte : character) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

bool words_start_at_metaspace(const Vocabulary& vocabulary, const std::vector<TokenId>& produced) {
  if (!vocabulary.find(kMetaspace)) return false;
  for (const TokenId id : produced) {
    const std::string_view piece = vocabulary.piece(id);
    if (find_word_end(piece, 0) != piece.size()) return false;
  }
  return true;
}

}  // namespace prepack::text
