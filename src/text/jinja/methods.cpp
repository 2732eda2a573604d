#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/jinja/builtin.h"
#include "text/jinja/letter_case.h"
#include "text/jinja/strip.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/write_value.h"
#include "text/utf8.h"

namespace prepack::jinja {
namespace {

std::string_view text_of(const Value& value) { return value.text("a method's text"); }

std::string_view text_argument(const Arguments& arguments, size_t place, std::string_view name) {
  return arguments.find(place, name)->text(name);
}

int64_t integer_or(const Arguments& arguments, size_t place, std::string_view name,
                   int64_t fallback) {
  const Value* value = arguments.find(place, name);
  return value ? value->integer(name) : fallback;
}

Value to_list(const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  for (const std::string_view part : parts) items.emplace_back(std::string(part));
  return items;
}

// --- texts ---------------------------------------------------------------------------------------

Value call_lstrip(const Value& value, const Arguments& arguments) {
  const Value* characters = arguments.find_given(0, "chars");
  return std::string(characters ? strip_begin(text_of(value), characters->text("chars"))
                                : strip_begin(text_of(value)));
}

Value call_rstrip(const Value& value, const Arguments& arguments) {
  const Value* characters = arguments.find_given(0, "chars");
  return std::string(characters ? strip_end(text_of(value), characters->text("chars"))
                                : strip_end(text_of(value)));
}

Value call_strip(const Value& value, const Arguments& arguments) {
  return call_lstrip(call_rstrip(value, arguments), arguments);
}

/// What lies between white space.
std::vector<std::string_view> find_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = strip_begin(text); !text.empty(); text = strip_begin(text)) {
    size_t end = 0;
    while (end < text.size() && strip_begin(text.substr(end)).size() == text.size() - end) {
      end += text::utf8_length(text[end]);
    }
    charge(2 * kItemBytes + end);
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

/// The first `count` words, and all that is left as one.
std::vector<std::string_view> split_words(std::string_view text, int64_t count) {
  auto words = find_words(text);
  if (count < 0 || std::ssize(words) <= count) return words;
  const char* rest = words[static_cast<size_t>(count)].data();
  words.resize(static_cast<size_t>(count));
  words.push_back(text.substr(static_cast<size_t>(rest - text.data())));
  return words;
}

std::string_view separator_of(const Value& separator) {
  const std::string_view text = separator.text("sep");
  if (text.empty()) throw RenderError("split has an empty separator");
  return text;
}

Value call_split(const Value& value, const Arguments& arguments) {
  std::string_view text = text_of(value);
  const int64_t max_splits = integer_or(arguments, 1, "maxsplit", -1);
  const Value* separator = arguments.find_given(0, "sep");
  if (!separator) return to_list(split_words(text, max_splits));
  const std::string_view sep = separator_of(*separator);
  charge_search(text, sep);
  std::vector<std::string_view> parts;
  while (max_splits < 0 || std::ssize(parts) < max_splits) {
    const size_t at = text.find(sep);
    if (at == std::string_view::npos) break;
    charge(2 * kItemBytes + at);
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + sep.size());
  }
  parts.push_back(text);
  return to_list(parts);
}

Value call_splitlines(const Value& value, const Arguments& arguments) {
  const Value* keep_ends = arguments.find(0, "keepends");
  return to_list(split_lines(text_of(value), keep_ends && is_true(*keep_ends)));
}

/// Whether one of these does, where several are asked for.
template <typename Compare>
bool any_part(const Value& parts, const Compare& compare) {
  if (!parts.sequence()) return compare(parts.text("what a text is asked for"));
  return std::ranges::any_of(parts.sequence()->items, [&](const Value& part) {
    return compare(part.text("what a text is asked for"));
  });
}

Value call_startswith(const Value& value, const Arguments& arguments) {
  return any_part(*arguments.find(0, "prefix"),
                  [&](std::string_view prefix) { return text_of(value).starts_with(prefix); });
}

Value call_endswith(const Value& value, const Arguments& arguments) {
  return any_part(*arguments.find(0, "suffix"),
                  [&](std::string_view suffix) { return text_of(value).ends_with(suffix); });
}

Value call_replace(const Value& value, const Arguments& arguments) {
  return replace(text_of(value), text_argument(arguments, 0, "old"),
                 text_argument(arguments, 1, "new"), integer_or(arguments, 2, "count", -1));
}

Value call_join(const Value& value, const Arguments& arguments) {
  const auto parts = iterate(*arguments.find(0, "iterable"));
  for (const Value& part : parts) part.text("what texts are joined with");
  return join_values(parts, text_of(value));
}

/// Of Python's format strings: {}, {0} and {name}.
Value call_format(const Value& value, const Arguments& arguments) {
  std::string_view rest = text_of(value);
  std::string text;
  size_t next = 0;
  for (size_t at = rest.find_first_of("{}"); at != std::string_view::npos;
       at = rest.find_first_of("{}")) {
    append_text(text, rest.substr(0, at));
    if (rest.substr(at + 1).starts_with(rest[at])) {  // {{ is {
      text += rest[at];
      rest.remove_prefix(at + 2);
      continue;
    }
    const size_t end = rest.find('}', at);
    const std::string_view field = rest.substr(at + 1, end - at - 1);
    const bool is_place = field.find_first_not_of("0123456789") == std::string_view::npos;
    if (rest[at] == '}' || end == std::string_view::npos || (is_place && field.size() > 3) ||
        field.find_first_of(".:![{") != std::string_view::npos) {
      throw RenderError("format with other fields than {}, {0} and {name} is not supported");
    }
    const size_t place = field.empty() ? next++ : is_place ? std::stoul(std::string(field)) : 0;
    const Value* argument = is_place ? arguments.find(place, "") : arguments.find_named(field);
    if (!argument) throw RenderError(fmt::format("format lacks the argument {{{}}}", field));
    append_text(text, write_value(*argument));
    rest.remove_prefix(end + 1);
  }
  return text.append(rest);
}

Value call_lower(const Value& value, const Arguments&) { return to_lower(text_of(value)); }
Value call_upper(const Value& value, const Arguments&) { return to_upper(text_of(value)); }
Value call_capitalize(const Value& value, const Arguments&) { return capitalize(text_of(value)); }

// --- dicts -------------------------------------------------------------------------------------

Value call_items(const Value& value, const Arguments&) {
  return {list_items(*value.dict()), Sequence::Kind::kView};
}
Value call_keys(const Value& value, const Arguments&) {
  return {iterate(value), Sequence::Kind::kView};
}

Value call_values(const Value& value, const Arguments&) {
  std::vector<Value> values;
  for (const auto& item : value.dict()->items) values.push_back(item.second);
  return {std::move(values), Sequence::Kind::kView};
}

Value call_get(const Value& value, const Arguments& arguments) {
  if (const Value* item = find(*value.dict(), *arguments.find(0, "key"))) return *item;
  const Value* fallback = arguments.find(1, "default");
  return fallback ? *fallback : None{};
}

constexpr std::array kTextMethods = {
    Builtin{"capitalize", {}, 0, call_capitalize},
    Builtin{"endswith", {"suffix"}, 1, call_endswith},
    Builtin{"format", {}, 0, call_format, /*takes_any=*/true},
    Builtin{"join", {"iterable"}, 1, call_join},
    Builtin{"lower", {}, 0, call_lower},
    Builtin{"lstrip", {"chars"}, 0, call_lstrip},
    Builtin{"replace", {"old", "new", "count"}, 2, call_replace},
    Builtin{"rstrip", {"chars"}, 0, call_rstrip},
    Builtin{"split", {"sep", "maxsplit"}, 0, call_split},
    Builtin{"splitlines", {"keepends"}, 0, call_splitlines},
    Builtin{"startswith", {"prefix"}, 1, call_startswith},
    Builtin{"strip", {"chars"}, 0, call_strip},
    Builtin{"upper", {}, 0, call_upper},
};

constexpr std::array kDictMethods = {
    Builtin{"get", {"key", "default"}, 1, call_get},
    Builtin{"items", {}, 0, call_items},
    Builtin{"keys", {}, 0, call_keys},
    Builtin{"values", {}, 0, call_values},
};

}  // namespace

const Builtin* find_method(const Value& value, std::string_view name) {
  if (value.text()) return find_builtin(kTextMethods, name);
  return value.dict() ? find_builtin(kDictMethods, name) : nullptr;
}

}  // namespace prepack::jinja
