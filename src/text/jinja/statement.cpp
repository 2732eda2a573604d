#include "text/jinja/statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "text/jinja/write_value.h"

namespace prepack::jinja {
namespace {

void assign(const Target& target, Value value, Context& context) {
  const auto& names = target.names;
  if (!target.attribute.empty()) {
    const Value* holder = context.scope->find(names[0]);
    Namespace* space = holder ? holder->space() : nullptr;
    if (!space) throw RenderError(fmt::format("'{}' is no namespace to set in", names[0]));
    space->attributes.insert_or_assign(target.attribute, std::move(value));
  } else if (!target.unpacks) {
    context.scope->set(names[0], std::move(value));
  } else {
    auto parts = iterate(value);
    if (parts.size() != names.size()) {
      throw RenderError(fmt::format("{} values are set to {} names", parts.size(), names.size()));
    }
    for (size_t i = 0; i < parts.size(); ++i) context.scope->set(names[i], std::move(parts[i]));
  }
}

/// The variable `loop` of a loop, which all of its turns share.
void describe_turn(const std::vector<Value>& items, size_t index, Namespace& loop) {
  const auto size = std::ssize(items);
  const auto place = static_cast<int64_t>(index);
  const Value missing = Undefined{"there is no such item"};
  const auto set = [&](const char* name, Value value) {
    loop.attributes.insert_or_assign(name, std::move(value));
  };
  set("index", place + 1);
  set("index0", place);
  set("revindex", size - place);
  set("revindex0", size - place - 1);
  set("first", place == 0);
  set("last", place + 1 == size);
  set("length", size);
  set("depth", int64_t{1});  // of recursive loops, which there are none
  set("depth0", int64_t{0});
  set("previtem", index > 0 ? items[index - 1] : missing);
  set("nextitem", index + 1 < items.size() ? items[index + 1] : missing);
}

std::vector<Value> find_items(const Loop& loop, Context& context) {
  auto items = iterate(loop.items(context));
  if (!loop.condition) return items;
  std::erase_if(items, [&](const Value& item) {
    Scope scope(context.scope);
    const ScopeGuard guard(context, scope);
    assign(loop.target, item, context);
    return !is_true(loop.condition(context));
  });
  return items;
}

struct Macro {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
};

void check_arguments(const Macro& macro, const Arguments& arguments) {
  if (arguments.positional.size() > macro.parameters.size()) {
    throw RenderError(fmt::format("{} has too many arguments", macro.name));
  }
  for (const auto& argument : arguments.named) {
    if (std::ranges::find(macro.parameters, argument.first, &Parameter::name) ==
        macro.parameters.end()) {
      throw RenderError(fmt::format("{} has no argument named {}", macro.name, argument.first));
    }
  }
}

Value call_macro(const Macro& macro, Context& context, const Arguments& arguments) {
  const Nesting nesting(context);
  check_arguments(macro, arguments);
  Scope scope(&context.root);
  const ScopeGuard guard(context, scope);
  for (const auto& [name, fallback] : macro.parameters) {  // which no fallback sees of the template
    scope.set(name, Undefined{fmt::format("'{}' is not given", name)});
  }
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& [name, fallback] = macro.parameters[i];
    if (const Value* argument = arguments.find(i, name)) {
      scope.set(name, *argument);
    } else if (fallback) {
      scope.set(name, fallback(context));
    }
  }
  std::string text;
  execute(macro.body, context, text);
  return text;
}

}  // namespace

Flow execute(const Body& body, Context& context, std::string& out) {
  const Nesting nesting(context);
  for (const auto& statement : body) {
    context.count_step();
    const Flow flow = statement(context, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Statement make_text(std::string text) {
  return [text = std::move(text)](Context&, std::string& out) {
    append_text(out, text);
    return Flow::kNext;
  };
}

Statement make_output(Expression value, int line) {
  return [value = std::move(value), line](Context& context, std::string& out) {
    context.line = line;
    append_text(out, write_value(value(context)));
    return Flow::kNext;
  };
}

Statement make_if(std::vector<Branch> branches) {
  return [branches = std::move(branches)](Context& context, std::string& out) {
    for (const auto& [condition, body, line] : branches) {
      context.line = line;
      if (!condition || is_true(condition(context))) return execute(body, context, out);
    }
    return Flow::kNext;
  };
}

Statement make_for(Loop loop) {
  return [loop = std::move(loop)](Context& context, std::string& out) {
    context.line = loop.line;
    const std::vector<Value> items = find_items(loop, context);
    Namespace* const state = items.empty() ? nullptr : context.add_namespace();
    bool is_any_whole = false;  // as Jinja's `else` asks, where Python's asks for no `break`
    for (size_t i = 0; i < items.size(); ++i) {
      context.count_step();
      Scope scope(context.scope);
      const ScopeGuard guard(context, scope);
      describe_turn(items, i, *state);
      scope.set("loop", state);
      assign(loop.target, items[i], context);
      const Flow flow = execute(loop.body, context, out);
      if (flow == Flow::kBreak) break;
      if (flow == Flow::kNext) is_any_whole = true;
    }
    if (is_any_whole) return Flow::kNext;
    Scope scope(context.scope);
    const ScopeGuard guard(context, scope);
    return execute(loop.otherwise, context, out);
  };
}

Statement make_flow(Flow flow) {
  return [flow](Context&, std::string&) { return flow; };
}

Statement make_set(Target target, Expression value, int line) {
  return
      [target = std::move(target), value = std::move(value), line](Context& context, std::string&) {
        context.line = line;
        assign(target, value(context), context);
        return Flow::kNext;
      };
}

Statement make_set_block(Target target, Body body, int line) {
  return [target = std::move(target), inner = make_scope({}, std::move(body), line), line](
             Context& context, std::string&) {
    std::string text;
    const Flow flow = inner(context, text);
    if (flow != Flow::kNext) return flow;
    context.line = line;
    assign(target, std::move(text), context);
    return Flow::kNext;
  };
}

Statement make_macro(std::string name, std::vector<Parameter> parameters, Body body) {
  const auto macro =
      std::make_shared<const Macro>(Macro{std::move(name), std::move(parameters), std::move(body)});
  return [macro](Context& context, std::string&) {
    context.scope->set(macro->name, Function([macro, &context](const Arguments& arguments) {
                         return call_macro(*macro, context, arguments);
                       }));
    return Flow::kNext;
  };
}

Statement make_scope(std::vector<std::pair<std::string, Expression>> variables, Body body,
                     int line) {
  return [variables = std::move(variables), body = std::move(body), line](Context& context,
                                                                          std::string& out) {
    context.line = line;
    Scope scope(context.scope);
    for (const auto& [name, value] : variables) scope.set(name, value(context));
    const ScopeGuard guard(context, scope);
    return execute(body, context, out);
  };
}

}  // namespace prepack::jinja
