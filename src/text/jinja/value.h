#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/work.h"

// The values of templates: those of Python that chat templates meet, with Python's meaning.

namespace prepack::jinja {

class Value;
class Arguments;

/// What a name or an attribute that is not there stands for. Written as nothing, and false.
struct Undefined {
  std::string why;  // "'tools' is undefined"
};

struct None {};

/// Immutable, as in the sandbox in which transformers renders.
struct Sequence {
  enum class Kind {
    kList,
    kTuple,
    kRange,      // has no text
    kView,       // of a dict: has no places either
    kGenerator,  // of most filters: has no length either, and is gone through once
  };

  Kind kind = Kind::kList;
  std::vector<Value> items;
  mutable bool is_used = false;  // of a generator

  bool has_places() const { return is_listed() || kind == Kind::kRange; }
  bool is_listed() const { return kind == Kind::kList || kind == Kind::kTuple; }
};

/// In order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};

/// What namespace() makes: the only thing that can change.
struct Namespace {
  std::map<std::string, Value, std::less<>> attributes;
};

using Function = std::function<Value(const Arguments&)>;

class Value {
 public:
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None none) : data_(none) {}
  Value(bool flag) : data_(flag) {}
  Value(int64_t integer) : data_(integer) {}
  Value(double number) : data_(number) {}
  /// @throws RenderError for a text longer than any prompt
  Value(std::string text);
  Value(const char* text) : Value(std::string(text)) {}
  /// @throws RenderError for sequences in sequences without end; likewise of a dict
  Value(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::kList);
  Value(Dict dict);
  /// @param space  owned by the context of a rendering
  Value(Namespace* space) : data_(space) {}
  /// @param depth  of what it holds
  /// @throws RenderError likewise
  Value(Function function, int depth = 0);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_number() const { return is_integer() || as<double>(); }
  bool is_integer() const { return as<int64_t>() || as<bool>(); }  // True is 1

  /// Null if the value is of another type.
  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data_);
  }
  const std::string* text() const;
  const Sequence* sequence() const;
  const Dict* dict() const;
  const Function* function() const;
  Namespace* space() const;

  // What is not of the type is a RenderError that says what it is needed for.

  const std::string& text(std::string_view what) const;
  int64_t integer(std::string_view what) const;
  double number(std::string_view what) const;

  /// How deep sequences and dicts lie in one another: 0 of a number.
  int depth() const { return depth_; }

 private:
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, Namespace*,
               std::shared_ptr<const Function>>
      data_;
  int depth_ = 0;
};

/// What a function is called with.
class Arguments {
 public:
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // Null if there is none.

  const Value* find_named(std::string_view name) const;

  /// The argument of this place or name.
  const Value* find(size_t place, std::string_view name) const;

  /// Likewise, unless it is none.
  const Value* find_given(size_t place, std::string_view name) const;
};

bool is_true(const Value& value);

/// Python's ==, and RenderError for what has no order.
bool equal(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);
bool at_most(const Value& a, const Value& b);

/// Python's `item in container`.
bool contains(const Value& container, const Value& item);

/// What a loop goes through: items, keys, or characters.
/// @throws RenderError if it is none of these, or a generator for the second time
std::vector<Value> iterate(const Value& value);

/// Of a text, sequence or dict.
int64_t length(const Value& value);

/// Tuples of key and value.
std::vector<Value> list_items(const Dict& dict);

/// Null if there is none.
const Value* find(const Dict& dict, const Value& key);

/// In place of what the key had, if any.
void insert(Dict& dict, Value key, Value value);

/// "str", "list", ...
std::string_view type_name(const Value& value);

[[noreturn]] void fail_type(std::string_view what, const Value& value);

}  // namespace prepack::jinja
