#include <array>
#include <charconv>
#include <stdexcept>

#include "text/regex.h"

// The tokenizers' patterns are written for Oniguruma (Ruby syntax, UTF-8). Nearly all of it means
// the same in PCRE2; this rewrites what does not, and refuses what it does not know, because a
// pattern that means something slightly different gives slightly different ids.
//
//   \s     PCRE2 counts U+180E as a space, Unicode since 6.3 and Oniguruma do not
//   \v \h  one character in Oniguruma (VT, a hex digit), classes in PCRE2
//   \w \b  include marks in Oniguruma, not in PCRE2 10.42: refused
//   ^ $    always match at line ends in Ruby's syntax
//   {n}?   optional in Ruby's syntax, lazy in PCRE2; {n}+ nests, in PCRE2 it is possessive: refused
//   && [   intersections and nested classes: refused
//
// Ref: Oniguruma doc/RE, pcre2pattern(3).

namespace prepack::text {
namespace {

// Unicode's White_Space, and its complement without surrogates.
constexpr std::string_view kSpaces =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr std::string_view kNonSpaces =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}"
    "\\x{e000}-\\x{10ffff}";

constexpr std::array<std::string_view, 47> kProperties = {
    "L",     "Lu",       "Ll",     "Lt",     "Lm",       "Lo",         "M",       "Mn",
    "Mc",    "Me",       "N",      "Nd",     "Nl",       "No",         "P",       "Pc",
    "Pd",    "Ps",       "Pe",     "Pi",     "Pf",       "Po",         "S",       "Sm",
    "Sc",    "Sk",       "So",     "Z",      "Zs",       "Zl",         "Zp",      "C",
    "Cc",    "Cf",       "Co",     "Han",    "Hiragana", "Katakana",   "Hangul",  "Latin",
    "Greek", "Cyrillic", "Arabic", "Hebrew", "Thai",     "Devanagari", "Armenian"};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (!done()) element();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw std::invalid_argument(std::string(what) + " at byte " + std::to_string(at_) +
                                " of the pattern is not supported");
  }
  bool done() const { return at_ == in_.size(); }
  bool starts_with(std::string_view prefix) const { return in_.substr(at_).starts_with(prefix); }
  bool take(std::string_view prefix) {
    if (!starts_with(prefix)) return false;
    at_ += prefix.size();
    return true;
  }
  void put(std::string_view text) { out_.append(text); }

  void element() {
    switch (in_[at_]) {
      case '\\':
        return escape(/*in_class=*/false);
      case '[':
        return character_class();
      case '(':
        return group();
      case '{':
        return braces();
      case '^':
        ++at_;
        return put("(?m:^)");
      case '$':
        ++at_;
        return put("(?m:$)");
      default:
        out_.push_back(in_[at_++]);
    }
  }

  void group() {
    for (const std::string_view open :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (take(open)) return put(open);
    }
    if (starts_with("(?") || starts_with("(*")) refuse("this group");
    ++at_;
    put("(?:");  // nothing reads captures
  }

  void braces() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && in_[end] >= '0' && in_[end] <= '9') ++end;
      return in_.substr(begin, end - begin);
    };
    const std::string_view low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string_view high = comma ? digits() : low;
    if (end == in_.size() || in_[end] != '}' || (low.empty() && high.empty())) {
      ++at_;
      return put("\\{");  // a brace that repeats nothing is itself
    }
    const char behind = end + 1 < in_.size() ? in_[end + 1] : '\0';
    if (behind == '+' || (behind == '?' && !comma)) refuse("this repetition");
    put("{");
    put(low.empty() ? "0" : low);
    if (comma) put(",");
    if (comma) put(high);
    put("}");
    at_ = end + 1;
  }

  void character_class() {
    ++at_;
    put("[");
    if (take("^")) put("^");
    if (starts_with("]")) refuse("an empty class");
    while (!done() && in_[at_] != ']') {
      if (in_[at_] == '[' || starts_with("&&")) refuse("a class inside a class");
      if (in_[at_] == '\\') {
        escape(/*in_class=*/true);
      } else {
        out_.push_back(in_[at_++]);
      }
    }
    if (done()) refuse("a class without end");
    ++at_;
    put("]");
  }

  void escape(bool in_class) {
    if (at_ + 1 == in_.size()) refuse("a lone backslash");
    const char c = in_[at_ + 1];
    const auto spaces = [&](std::string_view ranges) {
      at_ += 2;
      if (!in_class) put("[");
      put(ranges);
      if (!in_class) put("]");
    };
    const auto replace = [&](std::string_view text) {
      at_ += 2;
      put(text);
    };
    switch (c) {
      case 's':
        return spaces(kSpaces);
      case 'S':
        return spaces(kNonSpaces);
      case 'd':
        return replace("\\p{Nd}");
      case 'D':
        return replace("\\P{Nd}");
      case 'v':
        return replace("\\x{b}");
      case 'r':
      case 'n':
      case 't':
      case 'f':
        return replace(in_.substr(at_, 2));
      case 'p':
      case 'P':
        return property();
      case 'x':
      case 'u':
        return code_point();
      default:
        break;
    }
    const auto byte = static_cast<unsigned char>(c);
    const bool word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    if (word || byte >= 0x80) refuse("this escape");
    replace(in_.substr(at_, 2));
  }

  void property() {
    const std::string_view rest = in_.substr(at_);
    const size_t end = rest.find('}');
    if (rest.size() > 2 && rest[2] == '{' && end != std::string_view::npos) {
      const std::string_view name = rest.substr(3, end - 3);
      for (const std::string_view known : kProperties) {
        if (name != known) continue;
        put(rest.substr(0, end + 1));
        at_ += end + 1;
        return;
      }
    }
    refuse("this \\p property");
  }

  void code_point() {
    std::string_view digits = in_.substr(at_ + 2);
    size_t length = 2;
    if (in_[at_ + 1] == 'u') {
      digits = digits.substr(0, 4);
      if (digits.size() < 4) refuse("this \\u");
      length += 4;
    } else if (digits.starts_with('{')) {
      const size_t end = digits.find('}');
      if (end == std::string_view::npos) refuse("this \\x");
      digits = digits.substr(1, end - 1);
      length += end + 1;
    } else {
      digits = digits.substr(0, 2);
      length += 2;
    }
    uint32_t value = 0;
    const auto [last, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    // Oniguruma reads \xHH above 7F as a raw byte, not as a character.
    const bool raw_byte = in_[at_ + 1] == 'x' && length == 4 && in_[at_ + 2] != '{' && value > 0x7F;
    if (error != std::errc() || last != digits.data() + digits.size() || raw_byte ||
        value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      refuse("this code point");
    }
    put("\\x{");
    put(digits);
    put("}");
    at_ += length;
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace prepack::text
