#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace prepack::text {

/// A part of a JSON file together with its place, so that every complaint can say where it is. All
/// readers throw LoadError.
class Component {
 public:
  Component(const nlohmann::json& value, std::string file, std::string path = "")
      : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

  [[noreturn]] void fail(std::string_view message) const;

  /// The value of "type".
  std::string type() const { return text("type"); }
  [[noreturn]] void fail_unknown_type() const;

  bool is_null() const { return value_->is_null(); }
  bool is_object() const { return value_->is_object(); }
  bool is_array() const { return value_->is_array(); }

  /// True if there is a `key` and its value is not null.
  bool has(const char* key) const;

  /// The member `key` of this object; null if there is none.
  Component at(const char* key) const;

  /// The elements of the array `key`.
  std::vector<Component> list(const char* key) const;

  /// The members of the object `key`, by name.
  std::vector<std::pair<std::string, Component>> members(const char* key) const;

  std::string text(const char* key) const;
  std::string text_or(const char* key, std::string_view fallback) const;
  bool flag(const char* key) const;
  bool flag_or(const char* key, bool fallback) const;
  int64_t integer(const char* key) const;
  int64_t integer_or(const char* key, int64_t fallback) const;

  /// This value itself.
  std::string as_text() const;
  int64_t as_integer() const;

 private:
  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

}  // namespace prepack::text
