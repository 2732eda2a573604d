#include "text/component.h"

#include <fmt/format.h>

#include "prepack/error.h"

namespace prepack::text {
namespace {

const nlohmann::json kNull;

}  // namespace

void Component::fail(std::string_view message) const {
  throw LoadError(path_.empty() ? fmt::format("{}: {}", file_, message)
                                : fmt::format("{}: {}: {}", file_, path_, message));
}

void Component::fail_unknown_type() const {
  fail(fmt::format("type \"{}\" is not supported", type()));
}

bool Component::has(const char* key) const { return !at(key).is_null(); }

Component Component::at(const char* key) const {
  if (!value_->is_object()) fail(fmt::format("expected an object, got {}", value_->type_name()));
  const auto found = value_->find(key);
  return {found == value_->end() ? kNull : *found, file_,
          path_.empty() ? key : fmt::format("{}.{}", path_, key)};
}

std::vector<Component> Component::list(const char* key) const {
  const Component member = at(key);
  if (!member.value_->is_array()) {
    member.fail(fmt::format("expected an array, got {}", member.value_->type_name()));
  }
  std::vector<Component> elements;
  for (const auto& element : *member.value_) {
    elements.emplace_back(element, file_, fmt::format("{}[{}]", member.path_, elements.size()));
  }
  return elements;
}

std::vector<std::pair<std::string, Component>> Component::members(const char* key) const {
  const Component member = at(key);
  if (!member.value_->is_object()) {
    member.fail(fmt::format("expected an object, got {}", member.value_->type_name()));
  }
  std::vector<std::pair<std::string, Component>> result;
  for (const auto& [name, value] : member.value_->items()) {
    result.emplace_back(name, Component(value, file_, fmt::format("{}.{}", member.path_, name)));
  }
  return result;
}

std::string Component::text(const char* key) const { return at(key).as_text(); }

std::string Component::text_or(const char* key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

bool Component::flag(const char* key) const {
  const Component member = at(key);
  if (!member.value_->is_boolean()) {
    member.fail(fmt::format("expected true or false, got {}", member.value_->type_name()));
  }
  return member.value_->get<bool>();
}

bool Component::flag_or(const char* key, bool fallback) const {
  return has(key) ? flag(key) : fallback;
}

int64_t Component::integer(const char* key) const { return at(key).as_integer(); }

int64_t Component::integer_or(const char* key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

std::string Component::as_text() const {
  if (!value_->is_string()) fail(fmt::format("expected a string, got {}", value_->type_name()));
  return value_->get<std::string>();
}

int64_t Component::as_integer() const {
  if (!value_->is_number_integer()) {
    fail(fmt::format("expected an integer, got {}", value_->type_name()));
  }
  return value_->get<int64_t>();
}

}  // namespace prepack::text
