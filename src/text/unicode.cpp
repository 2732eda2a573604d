#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "text/utf8.h"

namespace prepack::text {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Characters that have a combining class or a decomposition and are younger than Unicode 9, whose
// tables Hugging Face's normalizers have (measured with tokenizers 0.23; entries up to Unicode 16).
// They pass unchanged there, so they do here, whatever the age of our own tables.
constexpr Range kUnknownToHuggingFace[] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x105C9, 0x105C9}, {0x105E4, 0x105E4},
    {0x10781, 0x107BA}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC},
    {0x10EFC, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
    {0x1133B, 0x1133B}, {0x11383, 0x11391}, {0x113C5, 0x113D0}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11938, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16121, 0x1612F}, {0x16D68, 0x16D6A},
    {0x16FF0, 0x16FF1}, {0x1CCD6, 0x1CCF9}, {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1E5EE, 0x1E5EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

bool is_unknown(char32_t c) {
  const auto* range =
      std::lower_bound(std::begin(kUnknownToHuggingFace), std::end(kUnknownToHuggingFace), c,
                       [](const Range& r, char32_t x) { return r.last < x; });
  return range != std::end(kUnknownToHuggingFace) && c >= range->first;
}

bool composes(UnicodeForm form) { return form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc; }

/// A character that does not change and combines with none before it. Only the most frequent of
/// these matter; the others take the long way and come out the same.
bool is_inert(char32_t c, UnicodeForm form) {
  if (c < 0x80) return true;
  if (form == UnicodeForm::kNfc &&
      (c < 0x300 || (c >= 0x400 && c < 0x483) || (c >= 0x2010 && c < 0x2028) ||
       (c >= 0x3041 && c < 0x3097) || (c >= 0x30A1 && c < 0x30FB) || (c >= 0x3400 && c < 0xA000) ||
       (c >= 0x1F300 && c < 0x1FB00))) {
    return true;
  }
  return is_unknown(c);
}

int combining_class(utf8proc_int32_t c) {
  return is_unknown(static_cast<char32_t>(c)) ? 0 : utf8proc_get_property(c)->combining_class;
}

/// utf8proc_map would do, but it orders marks in quadratic time.
void append_run(std::string_view text, UnicodeForm form, std::string& out) {
  int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  constexpr size_t kMaxDecomposition = 18;  // characters; U+FDFA's
  std::vector<utf8proc_int32_t> chars;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<utf8proc_int32_t>(next_char(text, i));
    const size_t size = chars.size();
    chars.resize(size + kMaxDecomposition, c);
    utf8proc_ssize_t length = 1;
    if (!is_unknown(static_cast<char32_t>(c))) {
      int boundary_class = 0;
      length = utf8proc_decompose_char(c, chars.data() + size, kMaxDecomposition,
                                       static_cast<utf8proc_option_t>(options), &boundary_class);
    }
    chars.resize(size +
                 static_cast<size_t>(std::clamp<utf8proc_ssize_t>(length, 1, kMaxDecomposition)));
  }

  const auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
  for (auto begin = chars.begin(); begin != chars.end();) {
    begin = std::find_if(begin, chars.end(), is_mark);
    const auto end = std::find_if_not(begin, chars.end(), is_mark);
    std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    begin = end;
  }
  if (composes(form)) {
    const auto length = utf8proc_normalize_utf32(
        chars.data(), static_cast<utf8proc_ssize_t>(chars.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    chars.resize(static_cast<size_t>(length));
  }
  for (const auto c : chars) append_utf8(static_cast<char32_t>(c), out);
}

}  // namespace

bool is_plainly_normalized(std::string_view text, UnicodeForm form) {
  // The lead bytes of U+0300 and above are 0xCC and above.
  const unsigned char first_unsafe = form == UnicodeForm::kNfc ? 0xCC : 0x80;
  unsigned char highest = 0;
  for (const char byte : text) highest = std::max(highest, static_cast<unsigned char>(byte));
  return highest < first_unsafe;
}

void append_normalized(std::string_view text, UnicodeForm form, std::string& out) {
  // Only runs of characters that may change take the long way, each with the character before it,
  // which the run's first may combine with. The character behind a run combines with nothing before
  // it, so it is a safe place to resume copying.
  size_t copied = 0;
  size_t previous = 0;  // start of the character before `i`
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    if (is_inert(next_char(text, i), form)) {
      previous = at;
      continue;
    }
    const size_t begin = std::max(previous, copied);
    size_t end = i;
    while (i < text.size() && !is_inert(next_char(text, i), form)) end = i;
    out.append(text.substr(copied, begin - copied));
    append_run(text.substr(begin, end - begin), form, out);
    copied = previous = i = end;
  }
  out.append(text.substr(copied));
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool is_word(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:  // Join_Control, and the circled and squared letters that are Other_Alphabetic
      return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
             (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
             (c >= 0x1F170 && c <= 0x1F189);
  }
}

}  // namespace prepack::text
