#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace prepack::text {

/// One thread's working memory for matching.
class RegexMatcher {
 public:
  RegexMatcher();
  ~RegexMatcher();
  RegexMatcher(const RegexMatcher&) = delete;
  RegexMatcher& operator=(const RegexMatcher&) = delete;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A compiled pattern of a tokenizer.json, matched as Oniguruma would. Immutable.
class Regex {
 public:
  struct Match {
    size_t begin;
    size_t end;
  };

  /// @param pattern  in Oniguruma's syntax
  /// @throws std::invalid_argument saying what is wrong or not supported
  explicit Regex(std::string_view pattern);

  /// Finds the first match at or after `start` in `text`, which is valid UTF-8.
  /// @throws InvalidArgument if matching this text exceeds PCRE2's limits
  bool find(std::string_view text, size_t start, RegexMatcher& matcher, Match& match) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  std::unique_ptr<void, Free> code_;
};

/// Rewrites a pattern from Oniguruma's syntax, which Hugging Face's tokenizers use, to PCRE2's,
/// with the same meaning (see regex_syntax.cpp).
/// @throws std::invalid_argument for syntax whose meaning would differ
std::string oniguruma_to_pcre2(std::string_view pattern);

}  // namespace prepack::text
