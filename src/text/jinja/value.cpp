#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace prepack::jinja {
namespace {

constexpr int kMaxDepth = 100;

// Beside the bytes of texts.
constexpr size_t kComparisonBytes = 16;

int check_container(size_t num_items, int depth) {
  if (num_items > kMaxItems) throw RenderError("a list is too long");
  charge(num_items * kItemBytes);
  if (depth > kMaxDepth) throw RenderError("lists lie too deep in one another");
  return depth;
}

bool compare_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::ranges::equal(a, b, equal);
}

template <typename Items>
auto find_key(Items& items, const Value& key) {
  return std::ranges::find_if(items, [&](const auto& item) { return equal(item.first, key); });
}

bool compare_dicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::ranges::all_of(a.items, [&](const auto& item) {
    const Value* other = find(b, item.first);
    return other && equal(item.second, *other);
  });
}

}  // namespace

Value::Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {
  if (this->text()->size() > kMaxTextBytes) throw RenderError("a text is too long");
  charge(this->text()->size());
}

Value::Value(Function function, int depth)
    : data_(std::make_shared<const Function>(std::move(function))),
      depth_(check_container(1, depth + 1)) {}

const std::string* Value::text() const {
  const auto* shared = as<std::shared_ptr<const std::string>>();
  return shared ? shared->get() : nullptr;
}

Value::Value(std::vector<Value> items, Sequence::Kind kind) : data_(None{}) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  depth_ = check_container(items.size(), depth + 1);
  data_ = std::make_shared<const Sequence>(Sequence{kind, std::move(items)});
}

Value::Value(Dict dict) : data_(None{}) {
  int depth = 0;
  for (const auto& [key, value] : dict.items) depth = std::max({depth, key.depth(), value.depth()});
  depth_ = check_container(dict.items.size(), depth + 1);
  data_ = std::make_shared<const Dict>(std::move(dict));
}

const Sequence* Value::sequence() const {
  const auto* shared = as<std::shared_ptr<const Sequence>>();
  return shared ? shared->get() : nullptr;
}

const Dict* Value::dict() const {
  const auto* shared = as<std::shared_ptr<const Dict>>();
  return shared ? shared->get() : nullptr;
}

const Function* Value::function() const {
  const auto* shared = as<std::shared_ptr<const Function>>();
  return shared ? shared->get() : nullptr;
}

Namespace* Value::space() const {
  Namespace* const* pointer = as<Namespace*>();
  return pointer ? *pointer : nullptr;
}

const std::string& Value::text(std::string_view what) const {
  if (const auto* text = this->text()) return *text;
  fail_type(what, *this);
}

int64_t Value::integer(std::string_view what) const {
  if (const auto* integer = as<int64_t>()) return *integer;
  if (const auto* flag = as<bool>()) return *flag;
  fail_type(what, *this);
}

double Value::number(std::string_view what) const {
  if (const auto* number = as<double>()) return *number;
  return static_cast<double>(integer(what));
}

const Value* Arguments::find_named(std::string_view name) const {
  const auto found = std::ranges::find(named, name, [](const auto& pair) { return pair.first; });
  return found == named.end() ? nullptr : &found->second;
}

const Value* Arguments::find(size_t place, std::string_view name) const {
  return place < positional.size() ? &positional[place] : find_named(name);
}

const Value* Arguments::find_given(size_t place, std::string_view name) const {
  const Value* value = find(place, name);
  return value && !value->is_none() ? value : nullptr;
}

bool is_true(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_integer()) return value.integer("") != 0;
  if (const auto* number = value.as<double>()) return *number != 0;
  if (const auto* text = value.text()) return !text->empty();
  if (const auto* sequence = value.sequence()) {
    return sequence->kind == Sequence::Kind::kGenerator || !sequence->items.empty();
  }
  if (const auto* dict = value.dict()) return !dict->items.empty();
  return true;
}

bool equal(const Value& a, const Value& b) {
  charge(kComparisonBytes);
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_integer() && b.is_integer()) return a.integer("") == b.integer("");
  if (a.is_number() && b.is_number()) return a.number("") == b.number("");
  if (const auto* text = a.text()) {
    const auto* other = b.text();
    if (other) charge(std::min(text->size(), other->size()));
    return other && *text == *other;
  }
  if (const auto* sequence = a.sequence()) {
    const auto* other = b.sequence();
    if (sequence == other) return true;
    return other && sequence->kind == other->kind && sequence->is_listed() &&
           compare_items(sequence->items, other->items);
  }
  if (const auto* dict = a.dict()) {
    const auto* other = b.dict();
    return dict == other || (other && compare_dicts(*dict, *other));
  }
  if (a.space()) return a.space() == b.space();
  return a.function() && a.function() == b.function();
}

bool less(const Value& a, const Value& b) {
  charge(kComparisonBytes);
  if (a.is_integer() && b.is_integer()) return a.integer("") < b.integer("");
  if (a.is_number() && b.is_number()) return a.number("") < b.number("");
  if (a.text() && b.text()) {
    charge(std::min(a.text()->size(), b.text()->size()));
    return *a.text() < *b.text();
  }
  const auto* sequence = a.sequence();
  const auto* other = b.sequence();
  if (sequence && other && sequence->kind == other->kind && sequence->is_listed()) {
    const auto& left = sequence->items;
    const auto& right = other->items;
    const auto [x, y] = std::ranges::mismatch(left, right, equal);
    if (x == left.end() || y == right.end()) return left.size() < right.size();
    return less(*x, *y);
  }
  throw RenderError(fmt::format("{} and {} have no order", type_name(a), type_name(b)));
}

bool at_most(const Value& a, const Value& b) { return less(a, b) || equal(a, b); }

bool contains(const Value& container, const Value& item) {
  if (const auto* text = container.text()) {
    const std::string& part = item.text("what is looked for in a text");
    charge_search(*text, part);
    return text->find(part) != std::string::npos;
  }
  if (const auto* dict = container.dict()) return find(*dict, item) != nullptr;
  return std::ranges::any_of(iterate(container),
                             [&](const Value& other) { return equal(item, other); });
}

std::vector<Value> iterate(const Value& value) {
  if (value.is_undefined()) return {};
  if (const auto* sequence = value.sequence()) {
    if (std::exchange(sequence->is_used, sequence->kind == Sequence::Kind::kGenerator)) {
      throw RenderError("a generator is gone through twice; |list makes a list of it");
    }
    charge(sequence->items.size() * kItemBytes);
    return sequence->items;
  }
  std::vector<Value> items;
  if (const auto* dict = value.dict()) {
    charge(dict->items.size() * kItemBytes);
    for (const auto& item : dict->items) items.push_back(item.first);
    return items;
  }
  if (const auto* text = value.text()) {
    charge(text->size() * 2 * kItemBytes);
    for (size_t at = 0, begin = 0; at < text->size(); begin = at) {
      at += text::utf8_length((*text)[at]);
      items.emplace_back(text->substr(begin, at - begin));
    }
    return items;
  }
  fail_type("what a loop goes through", value);
}

int64_t length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const auto* sequence = value.sequence();
      sequence && sequence->kind == Sequence::Kind::kGenerator) {
    fail_type("what has a length", value);
  }
  if (const auto* sequence = value.sequence()) return std::ssize(sequence->items);
  if (const auto* dict = value.dict()) return std::ssize(dict->items);
  const auto* text = value.text();
  if (!text) fail_type("what has a length", value);
  charge(text->size());
  return std::ranges::count_if(*text, [](char c) { return (c & 0xC0) != 0x80; });
}

std::vector<Value> list_items(const Dict& dict) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) {
    items.push_back({{key, value}, Sequence::Kind::kTuple});
  }
  return items;
}

const Value* find(const Dict& dict, const Value& key) {
  const auto found = find_key(dict.items, key);
  return found == dict.items.end() ? nullptr : &found->second;
}

void insert(Dict& dict, Value key, Value value) {
  const auto found = find_key(dict.items, key);
  if (found != dict.items.end()) {
    found->second = std::move(value);
  } else {
    dict.items.emplace_back(std::move(key), std::move(value));
  }
}

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "an undefined value";
  if (value.is_none()) return "none";
  if (value.as<bool>()) return "a boolean";
  if (value.as<int64_t>()) return "an integer";
  if (value.as<double>()) return "a float";
  if (value.text()) return "a text";
  if (value.dict()) return "a dict";
  if (value.space()) return "a namespace";
  if (value.function()) return "a function";
  switch (value.sequence()->kind) {
    case Sequence::Kind::kList:
      return "a list";
    case Sequence::Kind::kTuple:
      return "a tuple";
    case Sequence::Kind::kRange:
      return "a range";
    case Sequence::Kind::kView:
      return "a view";
    default:
      return "a generator";
  }
}

void fail_type(std::string_view what, const Value& value) {
  if (const auto* undefined = value.as<Undefined>()) throw RenderError(undefined->why);
  throw RenderError(fmt::format("{} cannot be {}", what, type_name(value)));
}

}  // namespace prepack::jinja
