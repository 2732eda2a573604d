#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace prepack::text {

/// A template's source.
class ChatSource {
 public:
  explicit ChatSource(std::string_view jinja);

  bool has(std::string_view text) const { return raw_.find(text) != std::string_view::npos; }

  /// What decides how conversations are written. See find_reached_source.
  std::string_view reached() const { return reached_; }
  bool reaches(std::string_view part) const { return reached_.find(part) != std::string::npos; }

  /// @throws LoadError that names the form which the template looks like
  void refuse(std::string_view form, std::string_view fragment, std::string_view why) const;

 private:
  std::string_view raw_;
  std::string reached_;
};

/// Reads what is reached of a template from begin to end, so that a template that writes anything
/// else than its form does is none of this form. Must not outlive the source.
class SourceReader {
 public:
  SourceReader(const ChatSource& source, std::string_view form)
      : form_(form), rest_(source.reached()) {}

  /// Whether this follows. What is empty always does.
  bool take(std::string_view part);

  /// The rest of a literal whose beginning is read, up to its closing quote, and unescaped.
  std::string take_literal();

  // LoadErrors that say what the template does not write.

  void expect(std::string_view part, std::string_view what);
  void expect_any(std::initializer_list<std::string_view> parts, std::string_view what);
  void expect_end();
  [[noreturn]] void fail(std::string_view what) const;

 private:
  std::string_view form_;
  std::string_view rest_;
};

/// @throws LoadError "the chat template ..."
[[noreturn]] void fail_template(std::string_view what);

/// @throws LoadError unless the condition holds
void require_template(bool condition, std::string_view form, std::string_view what);

/// Jinja's escapes in a string literal.
std::string unescape_literal(std::string_view literal);

}  // namespace prepack::text
