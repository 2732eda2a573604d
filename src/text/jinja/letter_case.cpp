#include "text/jinja/letter_case.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace prepack::jinja {
namespace {

using Mapping = utf8proc_int32_t (*)(utf8proc_int32_t);

char32_t change(char32_t c, Mapping mapping) {
  return static_cast<char32_t>(mapping(static_cast<utf8proc_int32_t>(c)));
}

std::string map_all(std::string_view text, Mapping mapping) {
  std::string mapped;
  for (size_t at = 0; at < text.size();) {
    text::append_utf8(change(text::next_char(text, at), mapping), mapped);
  }
  return mapped;
}

}  // namespace

std::string to_lower(std::string_view text) { return map_all(text, utf8proc_tolower); }

std::string to_upper(std::string_view text) { return map_all(text, utf8proc_toupper); }

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  const size_t first = text::utf8_length(text.front());
  return map_all(text.substr(0, first), utf8proc_totitle) + to_lower(text.substr(first));
}

}  // namespace prepack::jinja
