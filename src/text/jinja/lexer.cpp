#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "prepack/error.h"
#include "text/jinja/strip.h"
#include "text/utf8.h"

namespace prepack::jinja {
namespace {

// The longer ones first.
constexpr std::array<std::string_view, 25> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

/// "\r\n" and "\r" are "\n"; the newline that ends a template is not part of it.
std::string normalize_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && source.substr(i + 1).starts_with('\n')) continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

/// The value of a string literal, which has Python's escapes.
class Unescaper {
 public:
  Unescaper(std::string_view literal, int line) : rest_(literal), line_(line) {}

  std::string unescape() {
    std::string value;
    while (!rest_.empty()) {
      if (rest_.front() == '\\' && rest_.size() > 1) {
        rest_.remove_prefix(1);
        append_escape(value);
      } else {
        value += take();
      }
    }
    return value;
  }

 private:
  char take() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  void append_escape(std::string& value) {
    const char c = rest_.front();
    if (c >= '0' && c <= '7') return append_code(value, 3, 8, /*least=*/1);
    rest_.remove_prefix(1);
    constexpr std::string_view kEscapes = "abfnrtv\\'\"";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t at = kEscapes.find(c); at != std::string_view::npos) {
      value += kMeanings[at];
    } else if (c == 'x') {
      append_code(value, 2, 16, 2);
    } else if (c == 'u') {
      append_code(value, 4, 16, 4);
    } else if (c == 'U') {
      append_code(value, 8, 16, 8);
    } else if (c == 'N') {
      fail_syntax(line_, "characters by name (\\N) are not supported");
    } else if (c != '\n') {  // a line that goes on
      value += '\\';
      value += c;
    }
  }

  void append_code(std::string& value, size_t most, int base, size_t least) {
    uint32_t code = 0;
    const std::string_view digits = rest_.substr(0, most);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
    const auto length = static_cast<size_t>(end - digits.data());
    const bool is_character = code < 0xD800 || (code > 0xDFFF && code <= 0x10FFFF);
    if (error != std::errc() || length < least || !is_character) {
      fail_syntax(line_, "a string has an escape that is no character");
    }
    rest_.remove_prefix(length);
    text::append_utf8(code, value);
  }

  std::string_view rest_;
  int line_;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_text();
    push(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }
  bool follows(std::string_view part) const { return rest().starts_with(part); }

  void advance(size_t count) {
    line_ += static_cast<int>(std::ranges::count(source_.substr(at_, count), '\n'));
    at_ += count;
  }

  void push(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }

  void push_text(std::string_view text) {
    if (!text.empty()) push(Token::Kind::kText, std::string(text));
  }

  /// Text up to the next tag, and that tag.
  void read_text() {
    size_t tag = source_.find('{', at_);
    while (tag < source_.size() && !opens_tag(tag)) tag = source_.find('{', tag + 1);
    if (tag >= source_.size()) {
      push_text(rest());
      return advance(source_.size() - at_);
    }
    const char kind = source_[tag + 1];
    const char sign = source_.substr(tag + 2, 1).empty() ? ' ' : source_[tag + 2];
    push_text(strip_before_tag(source_.substr(at_, tag - at_), kind, sign));
    advance(tag - at_ + 2);
    if (sign == '-' || sign == '+') advance(1);
    if (kind == '#') return skip_comment();
    if (kind == '%' && take_raw_begin()) return read_raw();
    read_tag(kind == '%');
  }

  bool opens_tag(size_t at) const {
    const auto next = source_.substr(at + 1, 1);
    return next == "%" || next == "{" || next == "#";
  }

  std::string_view strip_before_tag(std::string_view text, char kind, char sign) const {
    if (sign == '-') return strip_end(text);
    if (sign == '+' || kind == '{') return text;
    const size_t line = text.rfind('\n') + 1;  // 0 where there is none
    const bool begins_line = line > 0 || at_line_begin_;
    return begins_line && strip(text.substr(line)).empty() ? text.substr(0, line) : text;
  }

  /// What goes with the end of a tag: "-" takes all white space behind it, a block its line's end.
  void end_tag(std::string_view close, bool is_block) {
    const bool strips = follows("-");
    const bool keeps = follows("+");
    advance(close.size() + (strips || keeps ? 1 : 0));
    if (strips) skip_spaces();
    if (is_block && !keeps && follows("\n")) advance(1);
    at_line_begin_ = source_[at_ - 1] == '\n';
  }

  bool ends_here(std::string_view close, bool takes_plus) const {
    std::string_view text = rest();
    if (text.starts_with('-') || (takes_plus && text.starts_with('+'))) {
      if (text.substr(1).starts_with(close)) return true;
    }
    return text.starts_with(close);
  }

  void skip_comment() {
    const int line = line_;
    while (at_ < source_.size()) {
      if (ends_here("#}", /*takes_plus=*/true)) return end_tag("#}", /*is_block=*/true);
      advance(1);
    }
    fail_syntax(line, "a comment does not end");
  }

  /// Whether this is {% word %}; moves to its end.
  bool take_block_of(std::string_view word) {
    const size_t begin = at_;
    const int line = line_;
    skip_spaces();
    if (follows(word)) {
      advance(word.size());
      skip_spaces();
      if (ends_here("%}", /*takes_plus=*/word == "endraw")) return true;
    }
    at_ = begin;
    line_ = line;
    return false;
  }

  bool take_raw_begin() {
    if (!take_block_of("raw")) return false;
    end_tag("%}", /*is_block=*/false);
    return true;
  }

  void read_raw() {
    const int line = line_;
    const size_t begin = at_;
    while (at_ < source_.size()) {
      const size_t tag = at_;
      if (!follows("{%")) {
        advance(1);
        continue;
      }
      advance(2);
      const char sign = follows("-") ? '-' : follows("+") ? '+' : ' ';
      if (sign != ' ') advance(1);
      if (!take_block_of("endraw")) continue;
      push_text(strip_before_tag(source_.substr(begin, tag - begin), '%', sign));
      return end_tag("%}", /*is_block=*/true);
    }
    fail_syntax(line, "a raw block does not end");
  }

  void read_tag(bool is_block) {
    const std::string_view close = is_block ? "%}" : "}}";
    const int line = line_;
    push(is_block ? Token::Kind::kBlockBegin : Token::Kind::kOutputBegin, "");
    std::string open_brackets;
    while (true) {
      skip_spaces();
      if (at_ >= source_.size()) fail_syntax(line, "a tag does not end");
      if (open_brackets.empty() && ends_here(close, /*takes_plus=*/is_block)) break;
      read_token(open_brackets);
    }
    push(is_block ? Token::Kind::kBlockEnd : Token::Kind::kOutputEnd, "");
    end_tag(close, is_block);
  }

  void skip_spaces() { advance(rest().size() - strip_begin(rest()).size()); }

  void read_token(std::string& open_brackets) {
    const char c = source_[at_];
    if (is_digit(c)) return read_number();
    if (begins_name(c)) return read_name();
    if (c == '"' || c == '\'') return read_string(c);
    const auto found = std::ranges::find_if(
        kOperators, [&](std::string_view candidate) { return follows(candidate); });
    if (found == kOperators.end()) {
      fail_syntax(line_, fmt::format("\"{}\" is nothing that an expression has", c));
    }
    check_bracket(found->front(), open_brackets);
    push(Token::Kind::kOperator, std::string(*found));
    advance(found->size());
  }

  void check_bracket(char c, std::string& open_brackets) const {
    constexpr std::string_view kOpen = "([{";
    constexpr std::string_view kClose = ")]}";
    if (kOpen.find(c) != std::string_view::npos) open_brackets += c;
    const size_t kind = kClose.find(c);
    if (kind == std::string_view::npos) return;
    if (!open_brackets.ends_with(kOpen[kind]))
      fail_syntax(line_, fmt::format("\"{}\" closes nothing", c));
    open_brackets.pop_back();
  }

  void read_name() {
    const auto name = rest().substr(
        0, static_cast<size_t>(std::ranges::find_if_not(
                                   rest(), [](char c) { return begins_name(c) || is_digit(c); }) -
                               rest().begin()));
    push(Token::Kind::kName, std::string(name));
    advance(name.size());
  }

  void read_string(char mark) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != mark) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail_syntax(line_, "a string does not end");
    const auto literal = source_.substr(at_ + 1, end - at_ - 1);
    push(Token::Kind::kString, Unescaper(literal, line_).unescape());
    advance(end + 1 - at_);
  }

  void read_number() {
    std::string digits;
    size_t length = take_digits(0, digits);
    bool is_float = false;
    // 1.5 is a number, and 1.name an attribute.
    if (digit_at(length + 1) && rest()[length] == '.') {
      is_float = true;
      digits += '.';
      length = take_digits(length + 1, digits);
    }
    const std::string_view exponent = rest().substr(std::min(length, rest().size()));
    if (exponent.starts_with('e') || exponent.starts_with('E')) {
      const size_t sign =
          exponent.substr(1).starts_with('-') || exponent.substr(1).starts_with('+');
      if (digit_at(length + 1 + sign)) {
        is_float = true;
        digits += exponent.substr(0, 1 + sign);
        length = take_digits(length + 1 + sign, digits);
      }
    }
    push(is_float ? Token::Kind::kFloat : Token::Kind::kInteger, digits);
    advance(length);
  }

  bool digit_at(size_t offset) const { return offset < rest().size() && is_digit(rest()[offset]); }

  /// Digits, which an underscore may part.
  size_t take_digits(size_t offset, std::string& digits) const {
    while (digit_at(offset) || (digit_at(offset + 1) && rest()[offset] == '_')) {
      if (rest()[offset] != '_') digits += rest()[offset];
      ++offset;
    }
    return offset;
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_begin_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  const std::string text = normalize_newlines(source);
  if (const auto offset = text::find_invalid_utf8(text)) {
    throw LoadError(fmt::format("not valid UTF-8 at byte {}", *offset));
  }
  return Lexer(text).run();
}

void fail_syntax(int line, std::string_view what) {
  throw LoadError(fmt::format("line {}: {}", line, what));
}

}  // namespace prepack::jinja
