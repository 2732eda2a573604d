#include "text/jinja/strip.h"

#include "text/jinja/work.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace prepack::jinja {
namespace {

template <typename IsStripped>
std::string_view strip_begin_if(std::string_view text, const IsStripped& is_stripped) {
  size_t begin = 0;
  for (size_t next = 0; next < text.size(); begin = next) {
    if (!is_stripped(text::next_char(text, next))) break;
  }
  return text.substr(begin);
}

template <typename IsStripped>
std::string_view strip_end_if(std::string_view text, const IsStripped& is_stripped) {
  while (!text.empty()) {
    const size_t begin = text::previous_char_start(text, text.size());
    size_t at = begin;
    if (!is_stripped(text::next_char(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

bool is_blank(char32_t c) { return text::is_space(c) || (c >= 0x1C && c <= 0x1F); }

auto is_any_of(std::string_view characters) {
  return [characters](char32_t c) {
    for (size_t at = 0; at < characters.size();) {
      if (text::next_char(characters, at) == c) return true;
    }
    return false;
  };
}

}  // namespace

std::string_view strip(std::string_view text) { return strip_begin(strip_end(text)); }
std::string_view strip_begin(std::string_view text) { return strip_begin_if(text, is_blank); }
std::string_view strip_end(std::string_view text) { return strip_end_if(text, is_blank); }

std::string_view strip_begin(std::string_view text, std::string_view characters) {
  charge(text.size() * characters.size());
  return strip_begin_if(text, is_any_of(characters));
}

std::string_view strip_end(std::string_view text, std::string_view characters) {
  charge(text.size() * characters.size());
  return strip_end_if(text, is_any_of(characters));
}

}  // namespace prepack::jinja
