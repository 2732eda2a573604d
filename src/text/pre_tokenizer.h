#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"
#include "text/scratch.h"

namespace prepack::text {

/// What becomes of the delimiters that a Split finds. Ref: SplitDelimiterBehavior in Hugging Face
/// tokenizers' normalizer.rs.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Split {
  std::variant<Regex, std::string> pattern;
  SplitBehavior behavior;
  bool invert;  // what lies between the matches are the delimiters
};

/// Splits at numbers (general category N): each character by itself, or in runs.
struct Digits {
  bool individual;
};

/// SentencePiece's visible spaces: spaces become `replacement`, and words start with it.
struct Metaspace {
  enum class Prefix { kAlways, kFirst, kNever };
  std::string replacement;
  Prefix prefix;
  bool split;
};

/// GPT-2's words. That the words' bytes are then spelled as characters is the model's business
/// here.
struct ByteLevelSplit {
  bool add_prefix_space;
  bool split;
};

/// Splits normalized text into words: no token reaches beyond one.
class PreTokenizer {
 public:
  using Step = std::variant<Split, Digits, Metaspace, ByteLevelSplit>;

  void add(Step step);

  /// The words of `text`, in order; valid until the next call.
  const std::vector<Piece>& apply(std::string_view text, bool at_start, Scratch& scratch) const;

 private:
  std::vector<Step> steps_;
  Regex gpt2_words_{
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"};
};

}  // namespace prepack::text
