#include "text/pre_tokenizer.h"

#include "text/unicode.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

struct Output {
  const Regex& gpt2_words;
  Scratch& scratch;
  std::string& rewritten;  // room for changed text, reserved so that it does not move
  std::vector<Piece>& pieces;

  /// Adds text[begin, end) of `piece`; empty parts vanish.
  void add(const Piece& piece, size_t begin, size_t end) {
    if (begin < end) {
      pieces.push_back({piece.text.substr(begin, end - begin), piece.at_start && begin == 0});
    }
  }
};

/// Calls visit(begin, end, is_match) for the matches and what lies between them, in order.
template <typename Visit>
void for_each_part(const Split& split, std::string_view text, Scratch& scratch, Visit visit) {
  size_t covered = 0;
  const auto match = [&](size_t begin, size_t end) {
    if (covered < begin) visit(covered, begin, split.invert);
    visit(begin, end, !split.invert);
    covered = end;
  };
  if (const auto* regex = std::get_if<Regex>(&split.pattern)) {
    Regex::Match found;
    bool any = false;
    for (size_t start = 0;
         start <= text.size() && regex->find(text, start, scratch.regex, found);) {
      const bool empty = found.begin == found.end;
      // As Oniguruma's iterator: no empty match right behind another match.
      if (!(empty && any && found.end == covered)) match(found.begin, found.end);
      any = true;
      start = found.end;
      if (empty) start += start < text.size() ? utf8_length(text[start]) : 1;
    }
  } else {
    const auto& pattern = std::get<std::string>(split.pattern);
    for (size_t at = 0; (at = text.find(pattern, at)) != std::string_view::npos;) {
      match(at, at + pattern.size());
      at += pattern.size();
    }
  }
  if (covered < text.size()) visit(covered, text.size(), split.invert);
}

void apply_step(const Split& split, const Piece& piece, Output& out) {
  // One part is held back: what follows decides whether it grows.
  size_t held_begin = 0, held_end = 0;
  bool held_match = false;
  bool holding = false;
  const auto flush = [&] {
    if (holding) out.add(piece, held_begin, held_end);
    holding = false;
  };
  const auto hold = [&](size_t begin, size_t end, bool is_match) {
    flush();
    held_begin = begin;
    held_end = end;
    held_match = is_match;
    holding = true;
  };
  for_each_part(split, piece.text, out.scratch, [&](size_t begin, size_t end, bool is_match) {
    bool merge = false;
    switch (split.behavior) {
      case SplitBehavior::kIsolated:
        return out.add(piece, begin, end);
      case SplitBehavior::kRemoved:
        return is_match ? void() : out.add(piece, begin, end);
      case SplitBehavior::kContiguous:
        merge = holding && held_match == is_match;
        break;
      case SplitBehavior::kMergedWithPrevious:
        merge = holding && is_match && !held_match;
        break;
      case SplitBehavior::kMergedWithNext:
        merge = holding && held_match && !is_match;
        break;
    }
    if (!merge) return hold(begin, end, is_match);
    held_end = end;
    held_match = is_match;
  });
  flush();
}

void apply_step(const Digits& digits, const Piece& piece, Output& out) {
  size_t begin = 0;
  bool in_number = false;
  for (size_t i = 0; i < piece.text.size();) {
    const size_t at = i;
    const bool number = is_number(next_char(piece.text, i));
    if (number != in_number || (number && digits.individual)) {
      out.add(piece, begin, at);
      begin = at;
    }
    in_number = number;
  }
  out.add(piece, begin, piece.text.size());
}

void apply_step(const Metaspace& step, const Piece& piece, Output& out) {
  const size_t start = out.rewritten.size();
  const auto written = [&] { return std::string_view(out.rewritten).substr(start); };
  const std::string_view mark = step.replacement;
  const bool marked = piece.text.starts_with(' ') || piece.text.starts_with(mark);
  const bool wanted = step.prefix == Metaspace::Prefix::kAlways ||
                      (step.prefix == Metaspace::Prefix::kFirst && piece.at_start);
  if (wanted && !marked) out.rewritten.append(mark);
  for (const char c : piece.text) {
    if (c == ' ') {
      out.rewritten.append(mark);
    } else {
      out.rewritten.push_back(c);
    }
  }
  const Piece changed{written(), piece.at_start};
  size_t begin = 0;
  if (step.split) {
    for (size_t at = 0; (at = changed.text.find(mark, at)) != std::string_view::npos;) {
      out.add(changed, begin, at);
      begin = at;
      at += mark.size();
    }
  }
  out.add(changed, begin, changed.text.size());
}

void apply_step(const ByteLevelSplit& step, const Piece& piece, Output& out) {
  Piece changed = piece;
  if (step.add_prefix_space && !piece.text.starts_with(' ')) {
    const size_t start = out.rewritten.size();
    out.rewritten.append(" ").append(piece.text);
    changed.text = std::string_view(out.rewritten).substr(start);
  }
  if (!step.split) return out.add(changed, 0, changed.text.size());
  Regex::Match word;
  size_t start = 0;
  while (start < changed.text.size() &&
         out.gpt2_words.find(changed.text, start, out.scratch.regex, word)) {
    out.add(changed, start, word.begin);
    out.add(changed, word.begin, word.end);
    start = word.end;
  }
  out.add(changed, start, changed.text.size());
}

/// The most bytes that a step writes for these pieces; 0 if it changes no text.
size_t rewritten_bound(const PreTokenizer::Step& step, const std::vector<Piece>& pieces) {
  size_t per_byte = 1;
  if (const auto* metaspace = std::get_if<Metaspace>(&step)) {
    per_byte = metaspace->replacement.size();
  } else if (const auto* byte_level = std::get_if<ByteLevelSplit>(&step);
             !byte_level || !byte_level->add_prefix_space) {
    return 0;
  }
  size_t bytes = 0;
  for (const Piece& piece : pieces) bytes += (piece.text.size() + 1) * per_byte;
  return bytes;
}

}  // namespace

void PreTokenizer::add(Step step) { steps_.push_back(std::move(step)); }

const std::vector<Piece>& PreTokenizer::apply(std::string_view text, bool at_start,
                                              Scratch& scratch) const {
  scratch.pieces.clear();
  if (!text.empty()) scratch.pieces.push_back({text, at_start});
  if (scratch.rewritten.size() < steps_.size()) scratch.rewritten.resize(steps_.size());
  for (size_t i = 0; i < steps_.size(); ++i) {
    std::string& rewritten = scratch.rewritten[i];
    rewritten.clear();
    rewritten.reserve(rewritten_bound(steps_[i], scratch.pieces));
    scratch.splitting.clear();
    Output out{gpt2_words_, scratch, rewritten, scratch.splitting};
    std::visit(
        [&](const auto& step) {
          for (const Piece& piece : scratch.pieces) apply_step(step, piece, out);
        },
        steps_[i]);
    scratch.pieces.swap(scratch.splitting);
  }
  return scratch.pieces;
}

}  // namespace prepack::text
