#include "text/sentencepiece_bpe.h"

#include <algorithm>

#include "text/bpe_model.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

using Type = SentencePieceFile::Type;

constexpr size_t kMaxPieceBytes = 512;  // all splits of a piece are tried

bool is_one_character(std::string_view text) { return utf8_length(text[0]) == text.size(); }

/// True if BpeModel can do what the library would.
bool is_plain_bpe(const SentencePieceFile& file, const Vocabulary& vocabulary) {
  if (file.algorithm != SentencePieceFile::kBpe || !file.character_map.empty() ||
      file.whitespace_as_suffix || !file.escape_whitespaces) {
    return false;
  }
  for (const auto& piece : file.pieces) {
    if (piece.type == Type::kUnused || piece.text.size() > kMaxPieceBytes) return false;
    if (piece.type == Type::kUnknown && is_one_character(piece.text)) return false;
    if (piece.type == Type::kUserDefined && file.remove_extra_whitespaces) return false;
    if (piece.type != Type::kNormal) continue;
    // Symbols that are no pieces themselves but merge into one have no id here.
    for (size_t i = 0; i < piece.text.size();) {
      const size_t length = utf8_length(piece.text[i]);
      if (!vocabulary.find(piece.text.substr(i, length))) return false;
      i += length;
    }
  }
  return true;
}

/// Ranks by score: pieces of higher score merge earlier, those of equal score from left to right.
std::vector<uint32_t> rank_pieces(const SentencePieceFile& file) {
  std::vector<float> scores;
  for (const auto& piece : file.pieces) scores.push_back(piece.score);
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<uint32_t> ranks;
  for (const auto& piece : file.pieces) {
    const auto found =
        std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(found - scores.begin()));
  }
  return ranks;
}

}  // namespace

std::unique_ptr<SubwordModel> build_sentencepiece_bpe(
    const SentencePieceFile& file, std::shared_ptr<const Vocabulary> vocabulary) {
  if (!is_plain_bpe(file, *vocabulary)) return nullptr;
  // The library merges neighbours whenever their concatenation is a piece, so each way to cut a
  // piece in two symbols is a merge. User-defined pieces are cut out of the text beforehand:
  // nothing merges with them, and no merge makes one, as it would have been found where it starts.
  const auto can_be_symbol = [&](TokenId id) {
    const auto& piece = file.pieces[id];
    return piece.type == Type::kNormal ||
           (piece.type != Type::kUserDefined && is_one_character(piece.text));
  };
  struct Entry {
    TokenId left, right, merged;
  };
  std::vector<Entry> entries;
  TokenIds produced;
  for (TokenId id = 0; id < vocabulary->end_id(); ++id) {
    const auto& piece = file.pieces[id];
    if (piece.type != Type::kNormal) continue;
    produced.push_back(id);
    for (size_t cut = utf8_length(piece.text[0]); cut < piece.text.size();
         cut += utf8_length(piece.text[cut])) {
      const auto left = vocabulary->find(piece.text.substr(0, cut));
      if (!left || !can_be_symbol(*left)) continue;
      const auto right = vocabulary->find(piece.text.substr(cut));
      if (right && can_be_symbol(*right)) entries.push_back({*left, *right, id});
    }
  }
  const std::vector<uint32_t> ranks = rank_pieces(file);
  MergeTable merges(entries.size());
  for (const Entry& entry : entries) {
    merges.set(entry.left, entry.right, {ranks[entry.merged], entry.merged});
  }

  BpeModel::Options options;
  options.byte_fallback = file.byte_fallback;
  options.fuse_unk = true;
  options.words_at_metaspace = words_start_at_metaspace(*vocabulary, produced);
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    if (file.pieces[id].type == Type::kUnknown) options.unk = static_cast<TokenId>(id);
  }
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(merges), options);
}

}  // namespace prepack::text
