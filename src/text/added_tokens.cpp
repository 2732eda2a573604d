#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace prepack::text {
namespace {

unsigned char byte_at(std::string_view text, size_t i) {
  return static_cast<unsigned char>(text[i]);
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = previous_char_start(text, text.size());
  return is_word(next_char(text, at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word(next_char(text, at));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const auto& a, const auto& b) { return a.pattern < b.pattern; });
  for (const AddedToken& token : tokens_) first_bytes_.set(byte_at(token.pattern, 0));
}

const AddedToken* AddedTokenMatcher::find(std::string_view text, size_t& from) const {
  if (tokens_.empty()) return nullptr;
  for (; from < text.size(); ++from) {
    if (!first_bytes_[byte_at(text, from)]) continue;
    // Byte by byte, narrow the sorted patterns to those that agree with the text so far.
    const AddedToken* longest = nullptr;
    auto low = tokens_.begin(), high = tokens_.end();
    for (size_t depth = 0; low != high && from + depth < text.size(); ++depth) {
      const unsigned char byte = byte_at(text, from + depth);
      low = std::partition_point(low, high, [&](const AddedToken& token) {
        return token.pattern.size() <= depth || byte_at(token.pattern, depth) < byte;
      });
      high = std::partition_point(low, high, [&](const AddedToken& token) {
        return byte_at(token.pattern, depth) == byte;
      });
      if (low != high && low->pattern.size() == depth + 1) longest = &*low;
    }
    if (longest) return longest;
  }
  return nullptr;
}

bool AddedTokenMatcher::extend(const AddedToken& token, std::string_view text, size_t done,
                               size_t& begin, size_t& end) {
  if (token.single_word &&
      (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
    return false;
  }
  while (token.lstrip && begin > done) {
    const size_t before = previous_char_start(text, begin);
    size_t at = before;
    if (!is_space(next_char(text, at))) break;
    begin = before;
  }
  while (token.rstrip && end < text.size()) {
    size_t behind = end;
    if (!is_space(next_char(text, behind))) break;
    end = behind;
  }
  return true;
}

}  // namespace prepack::text
