#include "text/jinja/write_value.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "text/utf8.h"

namespace prepack::jinja {
namespace {

/// Python's str.isprintable: neither a separator, but for the space, nor of the categories "other".
bool is_printable(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return c == ' ' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_SO);
}

/// Python's repr of a str.
std::string quote(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char mark = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string quoted(1, mark);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = text::next_char(text, at);
    if (c == static_cast<unsigned char>(mark) || c == '\\') {
      quoted.append("\\").append(1, static_cast<char>(c));
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\r') {
      quoted += "\\r";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (is_printable(c)) {
      quoted += text.substr(begin, at - begin);
    } else {
      const auto code = static_cast<uint32_t>(c);
      quoted += code < 0x100     ? fmt::format("\\x{:02x}", code)
                : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                 : fmt::format("\\U{:08x}", code);
    }
  }
  return quoted + mark;
}

void append_repr(const Value& value, std::string& out);

void append_sequence(const Sequence& sequence, std::string& out) {
  if (!sequence.is_listed()) {
    throw RenderError("a range, view or generator has no text; |list makes a list of it");
  }
  const bool is_tuple = sequence.kind == Sequence::Kind::kTuple;
  append_text(out, is_tuple ? "(" : "[");
  for (const Value& item : sequence.items) {
    if (&item != sequence.items.data()) append_text(out, ", ");
    append_repr(item, out);
  }
  append_text(out, is_tuple ? sequence.items.size() == 1 ? ",)" : ")" : "]");
}

void append_dict(const Dict& dict, std::string& out) {
  append_text(out, "{");
  for (const auto& [key, value] : dict.items) {
    if (&key != &dict.items[0].first) append_text(out, ", ");
    append_repr(key, out);
    append_text(out, ": ");
    append_repr(value, out);
  }
  append_text(out, "}");
}

void append_repr(const Value& value, std::string& out) {
  if (value.is_undefined()) {
    append_text(out, "Undefined");
  } else if (value.is_none()) {
    append_text(out, "None");
  } else if (const auto* flag = value.as<bool>()) {
    append_text(out, *flag ? "True" : "False");
  } else if (const auto* integer = value.as<int64_t>()) {
    append_text(out, fmt::format("{}", *integer));
  } else if (const auto* number = value.as<double>()) {
    append_text(out, write_float(*number));
  } else if (const auto* text = value.text()) {
    append_text(out, quote(*text));
  } else if (const auto* sequence = value.sequence()) {
    append_sequence(*sequence, out);
  } else if (const auto* dict = value.dict()) {
    append_dict(*dict, out);
  } else {
    throw RenderError(fmt::format("{} has no text", type_name(value)));
  }
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void append_json(const Value& value, int64_t level) {
    if (value.is_none()) {
      append_text(out_, "null");
    } else if (const auto* flag = value.as<bool>()) {
      append_text(out_, *flag ? "true" : "false");
    } else if (const auto* number = value.as<double>()) {
      append_text(out_, std::isnan(*number)   ? "NaN"
                        : std::isinf(*number) ? *number > 0 ? "Infinity" : "-Infinity"
                                              : write_float(*number));
    } else if (const auto* text = value.text()) {
      append_text(out_, nlohmann::json(*text).dump(-1, ' ', style_.ascii_only));
    } else if (const auto* sequence = value.sequence(); sequence && sequence->is_listed()) {
      append_items(*sequence, level);
    } else if (const auto* dict = value.dict()) {
      append_members(*dict, level);
    } else {
      append_text(out_, fmt::format("{}", value.integer("what is written as JSON")));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void append_items(const Sequence& sequence, int64_t level) {
    append_text(out_, "[");
    for (const Value& item : sequence.items) {
      begin_item(&item == sequence.items.data(), level + 1);
      append_json(item, level + 1);
    }
    end_items(sequence.items.empty(), level, "]");
  }

  void append_members(const Dict& dict, int64_t level) {
    std::vector<std::pair<Value, Value>> items = dict.items;
    if (style_.sort_keys) {
      std::ranges::stable_sort(items, less, [](const auto& item) { return item.first; });
    }
    append_text(out_, "{");
    for (const auto& [key, value] : items) {
      begin_item(&key == &items[0].first, level + 1);
      append_key(key);
      append_text(out_, style_.key_separator);
      append_json(value, level + 1);
    }
    end_items(items.empty(), level, "}");
  }

  /// Keys are texts in JSON: {1: 2} is {"1": 2}.
  void append_key(const Value& key) {
    if (key.sequence() || key.dict()) fail_type("a key of JSON", key);
    JsonWriter writer(style_);
    writer.append_json(key, 0);
    const std::string written = writer.take();
    append_text(out_, key.text() ? written : fmt::format("\"{}\"", written));
  }

  void begin_item(bool is_first, int64_t level) {
    if (!is_first) append_text(out_, style_.item_separator);
    begin_line(level);
  }

  void end_items(bool are_none, int64_t level, std::string_view bracket) {
    if (!are_none) begin_line(level);
    append_text(out_, bracket);
  }

  void begin_line(int64_t level) {
    if (!style_.indent) return;
    append_text(out_, "\n");
    const auto width = static_cast<size_t>(std::clamp<int64_t>(*style_.indent, 0, 1000) * level);
    append_text(out_, std::string(width, ' '));
  }

  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

void append_text(std::string& out, std::string_view part) {
  if (out.size() + part.size() > kMaxTextBytes) throw RenderError("a text is too long");
  charge(part.size());
  out += part;
}

std::string write_value(const Value& value) {
  if (value.is_undefined()) return "";
  if (const auto* text = value.text()) return *text;
  std::string out;
  append_repr(value, out);
  return out;
}

std::string write_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.append_json(value, 0);
  return writer.take();
}

std::string write_float(double number) {
  std::string text = fmt::format("{}", number);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

}  // namespace prepack::jinja
