#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"
#include "text/scratch.h"
#include "text/unicode.h"

namespace prepack::text {

/// Puts a string in front of every part of the text, unless that part is empty.
struct Prepend {
  std::string prefix;
};

struct ReplaceText {
  std::string pattern;
  std::string content;
};

struct ReplaceRegex {
  Regex pattern;
  std::string content;
};

/// Removes white space at the ends.
struct StripSpaces {
  bool left;
  bool right;
};

/// What SentencePiece's "identity" normalizer does: spaces become U+2581.
/// Ref: Normalizer::Normalize in SentencePiece's normalizer.cc.
struct SentencePieceSpaces {
  bool add_dummy_prefix;
  bool only_at_start;             // the dummy prefix is for the start of the whole text alone
  bool remove_extra_whitespaces;  // at the ends, and all but one elsewhere
};

/// What happens to the text between the added tokens before it is split into words.
class Normalizer {
 public:
  using Step = std::variant<UnicodeForm, Prepend, ReplaceText, ReplaceRegex, StripSpaces,
                            SentencePieceSpaces>;

  void add(Step step) { steps_.push_back(std::move(step)); }

  /// The normalized `text`: `text` itself if nothing changes, else in `scratch`, where it lasts
  /// until the next call.
  std::string_view apply(std::string_view text, bool at_start, Scratch& scratch) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace prepack::text
