#include "text/jinja/selection.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/builtin.h"
#include "text/jinja/subscript.h"

namespace prepack::jinja {
namespace {

/// Without the first `count` by place.
Arguments drop(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  const auto num_dropped = std::min(count, rest.positional.size());
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(num_dropped));
  return rest;
}

/// What a filter goes through, to which all that is false is empty.
std::vector<Value> items_of(const Value& value) {
  return is_true(value) ? iterate(value) : std::vector<Value>();
}

/// Whether an item passes the test that the arguments name.
bool passes(const Value& item, const Arguments& arguments) {
  if (arguments.positional.empty()) return is_true(item);
  const std::string& name = arguments.positional[0].text("the name of a test");
  const Builtin* test = find_test(name);
  if (!test) throw RenderError(fmt::format("the test {} is not supported", name));
  return is_true(call_builtin(*test, item, drop(arguments, 1)));
}

Value select(const Value& value, const Value* path, const Arguments& arguments, bool wanted) {
  std::vector<Value> selected;
  for (Value& item : items_of(value)) {
    if (passes(path ? get_path(item, *path) : item, arguments) == wanted) {
      selected.push_back(std::move(item));
    }
  }
  return {std::move(selected), Sequence::Kind::kGenerator};
}

const Value& path_of(const Arguments& arguments) {
  if (arguments.positional.empty()) throw RenderError("selectattr lacks the attribute");
  return arguments.positional[0];
}

}  // namespace

Value map_items(const Value& value, const Arguments& arguments) {
  std::vector<Value> mapped;
  if (const Value* path = arguments.find_named("attribute")) {
    const Value* fallback = arguments.find_named("default");
    for (const Value& item : items_of(value)) {
      Value part = get_path(item, *path);
      mapped.push_back(part.is_undefined() && fallback ? *fallback : std::move(part));
    }
    return {std::move(mapped), Sequence::Kind::kGenerator};
  }
  if (arguments.positional.empty()) throw RenderError("map lacks a filter");
  const std::string& name = arguments.positional[0].text("the name of a filter");
  const Builtin* filter = find_filter(name);
  if (!filter) throw RenderError(fmt::format("the filter {} is not supported", name));
  const Arguments rest = drop(arguments, 1);
  for (const Value& item : items_of(value)) mapped.push_back(call_builtin(*filter, item, rest));
  return {std::move(mapped), Sequence::Kind::kGenerator};
}

Value select_items(const Value& value, const Arguments& arguments) {
  return select(value, nullptr, arguments, true);
}

Value reject_items(const Value& value, const Arguments& arguments) {
  return select(value, nullptr, arguments, false);
}

Value select_by_attribute(const Value& value, const Arguments& arguments) {
  return select(value, &path_of(arguments), drop(arguments, 1), true);
}

Value reject_by_attribute(const Value& value, const Arguments& arguments) {
  return select(value, &path_of(arguments), drop(arguments, 1), false);
}

Value get_path(const Value& item, const Value& path) {
  if (path.is_integer()) return get_item(item, path);
  Value part = item;
  std::string_view rest = path.text("the name of an attribute");
  while (true) {
    const size_t dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    const bool is_place =
        !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    part = get_item(part, is_place && name.size() < 10 ? Value(int64_t{std::stoi(name)}) : name);
    if (dot == std::string_view::npos) return part;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace prepack::jinja
