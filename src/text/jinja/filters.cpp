#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja/builtin.h"
#include "text/jinja/letter_case.h"
#include "text/jinja/selection.h"
#include "text/jinja/strip.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/write_value.h"

// The filters of Jinja: value | name(arguments).

namespace prepack::jinja {
namespace {

constexpr auto kGenerator = Sequence::Kind::kGenerator;

bool flag_or(const Arguments& arguments, size_t place, std::string_view name, bool fallback) {
  const Value* value = arguments.find(place, name);
  return value ? is_true(*value) : fallback;
}

std::string text_or(const Arguments& arguments, size_t place, std::string_view name,
                    std::string_view fallback) {
  const Value* value = arguments.find(place, name);
  return value ? write_value(*value) : std::string(fallback);
}

// --- any value -----------------------------------------------------------------------------------

Value filter_default(const Value& value, const Arguments& arguments) {
  const bool is_missing =
      value.is_undefined() || (flag_or(arguments, 1, "boolean", false) && !is_true(value));
  if (!is_missing) return value;
  const Value* fallback = arguments.find(0, "default_value");
  return fallback ? *fallback : "";
}

Value filter_string(const Value& value, const Arguments&) { return write_value(value); }

Value filter_tojson(const Value& value, const Arguments& arguments) {
  JsonStyle style;
  style.ascii_only = flag_or(arguments, 0, "ensure_ascii", false);
  if (const Value* indent = arguments.find_given(1, "indent")) {
    style.indent = indent->integer("indent");
    style.item_separator.pop_back();  // its space
  }
  if (const Value* separators = arguments.find_given(2, "separators")) {
    const auto pair = iterate(*separators);
    if (pair.size() != 2) throw RenderError("tojson has two separators");
    style.item_separator = pair[0].text("a separator");
    style.key_separator = pair[1].text("a separator");
  }
  style.sort_keys = flag_or(arguments, 3, "sort_keys", false);
  return write_json(value, style);
}

// --- texts ---------------------------------------------------------------------------------------

/// Those that are methods of the value's text.
template <const char* kMethod>
Value filter_by_method(const Value& value, const Arguments& arguments) {
  const Value text = write_value(value);
  return find_method(text, kMethod)->call(text, arguments);
}

constexpr char kCapitalize[] = "capitalize";
constexpr char kLower[] = "lower";
constexpr char kStrip[] = "strip";
constexpr char kUpper[] = "upper";

Value filter_replace(const Value& value, const Arguments& arguments) {
  const Value* count = arguments.find_given(2, "count");
  return replace(write_value(value), text_or(arguments, 0, "old", ""),
                 text_or(arguments, 1, "new", ""), count ? count->integer("count") : -1);
}

Value filter_indent(const Value& value, const Arguments& arguments) {
  const Value* width = arguments.find(0, "width");
  const bool indents_first = flag_or(arguments, 1, "first", false);
  const bool indents_blank = flag_or(arguments, 2, "blank", false);
  const std::string indentation =
      width && width->text() ? *width->text()
                             : std::string(static_cast<size_t>(std::clamp<int64_t>(
                                               width ? width->integer("width") : 4, 0, 1000)),
                                           ' ');
  std::string text;
  // A newline at the end begins a line that is empty.
  const std::string whole = write_value(value) + "\n";
  const auto lines = split_lines(whole, /*keep_ends=*/false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) append_text(text, "\n");
    if (i == 0 ? indents_first : indents_blank || !lines[i].empty()) append_text(text, indentation);
    append_text(text, lines[i]);
  }
  return text;
}

// --- numbers -------------------------------------------------------------------------------------

int64_t truncate(double number) {
  if (!(std::abs(number) < 9e18)) throw RenderError("an integer is too large");
  return static_cast<int64_t>(number);
}

/// Python's int of a text in decimals, and of one with a fraction without it.
Value parse_integer(std::string_view text, const Value& fallback) {
  text = strip(text);
  if (text.starts_with('+') && !text.substr(1).starts_with('-')) text.remove_prefix(1);
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  const auto [integer_end, integer_error] = std::from_chars(text.data(), end, integer);
  if (integer_error == std::errc() && integer_end == end) return integer;
  double number = 0;
  const auto [number_end, number_error] = std::from_chars(text.data(), end, number);
  if (number_error == std::errc::invalid_argument || number_end != end) return fallback;
  return truncate(number);
}

Value filter_int(const Value& value, const Arguments& arguments) {
  if (value.is_undefined()) fail_type("a number", value);
  if (value.is_integer()) return value.integer("");
  const Value* fallback = arguments.find(0, "default");
  if (const auto* number = value.as<double>()) return truncate(*number);
  if (value.text()) return parse_integer(*value.text(), fallback ? *fallback : int64_t{0});
  return fallback ? *fallback : int64_t{0};
}

// --- sequences -----------------------------------------------------------------------------------

Value filter_length(const Value& value, const Arguments&) { return length(value); }
Value filter_list(const Value& value, const Arguments&) { return iterate(value); }

Value filter_first(const Value& value, const Arguments&) {
  auto items = iterate(value);
  return items.empty() ? Undefined{"there is no first item"} : std::move(items.front());
}

Value filter_last(const Value& value, const Arguments&) {
  auto items = iterate(value);
  return items.empty() ? Undefined{"there is no last item"} : std::move(items.back());
}

Value filter_reverse(const Value& value, const Arguments&) {
  auto items = iterate(value);
  std::ranges::reverse(items);
  if (value.text()) return join_values(items, "");
  return {std::move(items), kGenerator};
}

Value filter_join(const Value& value, const Arguments& arguments) {
  auto items = iterate(value);
  if (const Value* attribute = arguments.find(1, "attribute")) {
    for (Value& item : items) item = get_path(item, *attribute);
  }
  return join_values(items, text_or(arguments, 0, "d", ""));
}

Value filter_items(const Value& value, const Arguments&) {
  if (value.is_undefined()) return {{}, kGenerator};
  if (!value.dict()) fail_type("what has items", value);
  return {list_items(*value.dict()), kGenerator};
}

/// What items are ordered or told apart by: an attribute of theirs, and small letters as large.
Value order_key(const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute ? get_path(item, *attribute) : item;
  const auto* text = key.text();
  return text && !case_sensitive ? Value(to_lower(*text)) : key;
}

/// The items of pairs of keys and items, in the order of the keys.
Value sort_items(std::vector<std::pair<Value, Value>> keyed, bool is_reverse) {
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return is_reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
  std::vector<Value> items;
  for (auto& pair : keyed) items.push_back(std::move(pair.second));
  return items;
}

Value filter_sort(const Value& value, const Arguments& arguments) {
  const bool case_sensitive = flag_or(arguments, 1, "case_sensitive", false);
  const Value* attribute = arguments.find_given(2, "attribute");
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : iterate(value)) {
    keyed.emplace_back(order_key(item, attribute, case_sensitive), item);
  }
  return sort_items(std::move(keyed), flag_or(arguments, 0, "reverse", false));
}

Value filter_dictsort(const Value& value, const Arguments& arguments) {
  if (!value.dict()) fail_type("what dictsort sorts", value);
  const bool case_sensitive = flag_or(arguments, 0, "case_sensitive", false);
  const Value place = int64_t{text_or(arguments, 1, "by", "key") == "value"};
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : list_items(*value.dict())) {
    keyed.emplace_back(order_key(item, &place, case_sensitive), item);
  }
  return sort_items(std::move(keyed), flag_or(arguments, 2, "reverse", false));
}

Value filter_unique(const Value& value, const Arguments& arguments) {
  const bool case_sensitive = flag_or(arguments, 0, "case_sensitive", false);
  std::vector<Value> keys, items;
  for (Value& item : iterate(value)) {
    Value key = order_key(item, arguments.find_given(1, "attribute"), case_sensitive);
    if (std::ranges::any_of(keys, [&](const Value& other) { return equal(key, other); })) continue;
    keys.push_back(std::move(key));
    items.push_back(std::move(item));
  }
  return {std::move(items), kGenerator};
}

constexpr std::array kFilters = {
    Builtin{"capitalize", {}, 0, filter_by_method<kCapitalize>},
    Builtin{"count", {}, 0, filter_length},
    Builtin{"d", {"default_value", "boolean"}, 0, filter_default},
    Builtin{"default", {"default_value", "boolean"}, 0, filter_default},
    Builtin{"dictsort", {"case_sensitive", "by", "reverse"}, 0, filter_dictsort},
    Builtin{"first", {}, 0, filter_first},
    Builtin{"indent", {"width", "first", "blank"}, 0, filter_indent},
    Builtin{"int", {"default"}, 0, filter_int},
    Builtin{"items", {}, 0, filter_items},
    Builtin{"join", {"d", "attribute"}, 0, filter_join},
    Builtin{"last", {}, 0, filter_last},
    Builtin{"length", {}, 0, filter_length},
    Builtin{"list", {}, 0, filter_list},
    Builtin{"lower", {}, 0, filter_by_method<kLower>},
    Builtin{"map", {}, 0, map_items, /*takes_any=*/true},
    Builtin{"reject", {}, 0, reject_items, /*takes_any=*/true},
    Builtin{"rejectattr", {}, 0, reject_by_attribute, /*takes_any=*/true},
    Builtin{"replace", {"old", "new", "count"}, 2, filter_replace},
    Builtin{"reverse", {}, 0, filter_reverse},
    Builtin{"select", {}, 0, select_items, /*takes_any=*/true},
    Builtin{"selectattr", {}, 0, select_by_attribute, /*takes_any=*/true},
    Builtin{"sort", {"reverse", "case_sensitive", "attribute"}, 0, filter_sort},
    Builtin{"string", {}, 0, filter_string},
    Builtin{"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, filter_tojson},
    Builtin{"trim", {"chars"}, 0, filter_by_method<kStrip>},
    Builtin{"unique", {"case_sensitive", "attribute"}, 0, filter_unique},
    Builtin{"upper", {}, 0, filter_by_method<kUpper>},
};

}  // namespace

const Builtin* find_filter(std::string_view name) { return find_builtin(kFilters, name); }

}  // namespace prepack::jinja
