#include "text/jinja/subscript.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/builtin.h"
#include "text/jinja/write_value.h"
#include "text/utf8.h"

namespace prepack::jinja {
namespace {

Value missing(const Value& object, std::string_view name) {
  return Undefined{fmt::format("{} has no '{}'", type_name(object), name)};
}

std::string join(const std::vector<Value>& characters) {
  std::string text;
  for (const Value& character : characters) text += character.text("a character");
  return text;
}

Value character_at(std::string_view text, int64_t index) {
  size_t begin = 0;
  for (; index > 0; --index) begin += text::utf8_length(text[begin]);
  return std::string(text.substr(begin, text::utf8_length(text[begin])));
}

/// Null if the object has none under this key.
const Value* find_item(const Value& object, const Value& key) {
  if (const auto* dict = object.dict()) return find(*dict, key);
  const Namespace* space = object.space();
  const auto* name = key.text();
  if (!space || !name) return nullptr;
  const auto found = space->attributes.find(*name);
  return found == space->attributes.end() ? nullptr : &found->second;
}

}  // namespace

Value get_attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_type("what has attributes", object);
  if (const Builtin* method = find_method(object, name)) {
    const auto call = [method, object](const Arguments& arguments) {
      return call_builtin(*method, object, arguments);
    };
    return {Function(call), object.depth()};
  }
  const Value* item = find_item(object, std::string(name));
  return item ? *item : missing(object, name);
}

Value get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) fail_type("what has items", object);
  if (const Value* item = find_item(object, key)) return *item;
  const auto* name = key.text();
  if (name && !object.space()) return get_attribute(object, *name);
  const auto* sequence = object.sequence();
  const bool has_places = object.text() || (sequence && sequence->has_places());
  if (!has_places || !key.is_integer()) return missing(object, write_value(key));
  const int64_t size = length(object);
  const int64_t place = key.integer("a place");
  const int64_t index = place < 0 ? place + size : place;
  if (index < 0 || index >= size) return missing(object, write_value(key));
  return sequence ? sequence->items[static_cast<size_t>(index)]
                  : character_at(*object.text(), index);
}

Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  const auto* sequence = object.sequence();
  if (!object.text() && !(sequence && sequence->is_listed())) fail_type("what is sliced", object);
  const auto items = iterate(object);
  const int64_t size = std::ssize(items);
  const int64_t stride = step.is_none() ? 1 : step.integer("a slice's step");
  if (stride == 0) throw RenderError("a slice's step is 0");
  // Backwards, -1 is before the first.
  const int64_t least = stride > 0 ? 0 : -1;
  const auto clamp = [&](const Value& end, int64_t fallback) {
    if (end.is_none()) return fallback;
    const int64_t place = end.integer("a slice's end");
    return std::clamp(place < 0 ? place + size : place, least, size + least);
  };
  const int64_t begin = clamp(start, stride > 0 ? 0 : size - 1);
  const int64_t end = clamp(stop, stride > 0 ? size : -1);
  std::vector<Value> slice;
  for (int64_t i = begin; stride > 0 ? i < end : i > end;) {
    slice.push_back(items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (object.text()) return join(slice);
  return {std::move(slice), sequence->kind};
}

}  // namespace prepack::jinja
