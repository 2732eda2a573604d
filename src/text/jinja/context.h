#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace prepack::jinja {

/// The variables that a part of a template sets, in front of those of the part around it.
class Scope {
 public:
  explicit Scope(const Scope* outer = nullptr) : outer_(outer) {}

  /// Null if no scope has it.
  const Value* find(std::string_view name) const {
    const auto found = variables_.find(name);
    if (found != variables_.end()) return &found->second;
    return outer_ ? outer_->find(name) : nullptr;
  }

  void set(std::string_view name, Value value) {
    variables_.insert_or_assign(std::string(name), std::move(value));
  }

 private:
  const Scope* outer_;
  std::map<std::string, Value, std::less<>> variables_;
};

/// The state of one rendering.
class Context {
 public:
  explicit Context(Scope& variables) : root(variables), scope(&variables) {}

  /// Counts what is evaluated, see charge.
  void count_step() { charge(kStepBytes); }

  Namespace* add_namespace() {
    charge(kNamespaceBytes);
    return &namespaces_.emplace_back();
  }

  const Scope& root;  // of the template: what macros see
  Scope* scope;       // of the part that is rendered
  int line = 1;       // of what is rendered, for errors
  int depth = 0;      // of parts in parts and calls in calls

 private:
  static constexpr size_t kStepBytes = 512;
  static constexpr size_t kNamespaceBytes = 2048;

  std::deque<Namespace> namespaces_;
};

/// One more part in the parts around it.
class Nesting {
 public:
  /// @throws RenderError beyond what any template needs, and the stack holds
  explicit Nesting(Context& context) : context_(context) {
    if (++context_.depth > kMaxDepth) {
      --context_.depth;
      throw RenderError("calls itself without end");
    }
  }
  ~Nesting() { --context_.depth; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  static constexpr int kMaxDepth = 1000;

  Context& context_;
};

/// Puts a scope in front of the others for a while.
class ScopeGuard {
 public:
  ScopeGuard(Context& context, Scope& scope) : context_(context), outer_(context.scope) {
    context.scope = &scope;
  }
  ~ScopeGuard() { context_.scope = outer_; }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  Context& context_;
  Scope* outer_;
};

}  // namespace prepack::jinja
