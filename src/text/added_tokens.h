#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/token.h"

namespace prepack::text {

/// A token that is found in the text by its spelling, before any other processing.
/// Ref: AddedToken in Hugging Face tokenizers' added_vocabulary.rs.
struct AddedToken {
  std::string pattern;  // what to look for: the content, normalized where the token is
  TokenId id;
  bool single_word = false;  // not inside a longer word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
};

/// Finds tokens in text: the leftmost one, and the longest of those that start there.
class AddedTokenMatcher {
 public:
  /// @param tokens  with patterns that are not empty and all different
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens = {});

  /// Calls `on_text(part)` and `on_token(id)` for the parts of `text`, in order; no part is empty.
  template <typename OnText, typename OnToken>
  void split(std::string_view text, OnText on_text, OnToken on_token) const {
    size_t done = 0;
    size_t from = 0;
    while (const AddedToken* token = find(text, from)) {
      size_t begin = from;
      size_t end = from + token->pattern.size();
      from = end;
      if (!extend(*token, text, done, begin, end)) continue;
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(token->id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  /// The next token at or after `from`, which moves to where it starts; null if there is none.
  const AddedToken* find(std::string_view text, size_t& from) const;

  /// Widens a match over white space as its token says; false if the token does not want it.
  static bool extend(const AddedToken& token, std::string_view text, size_t done, size_t& begin,
                     size_t& end);

  std::vector<AddedToken> tokens_;  // sorted by pattern
  std::bitset<256> first_bytes_;
};

}  // namespace prepack::text
