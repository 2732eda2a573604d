#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/context.h"
#include "text/jinja/expression.h"

namespace prepack::jinja {

/// How a loop goes on behind a statement.
enum class Flow { kNext, kContinue, kBreak };

/// What appends its text where a template is rendered; throws RenderError.
using Statement = std::function<Flow(Context&, std::string&)>;

/// What lies between the tags of a statement.
using Body = std::vector<Statement>;

Flow execute(const Body& body, Context& context, std::string& out);

Statement make_text(std::string text);

/// {{ value }}
Statement make_output(Expression value, int line);

struct Branch {
  Expression condition;  // empty: else
  Body body;
  int line;
};
Statement make_if(std::vector<Branch> branches);

/// What is set: one name, several that a sequence is dealt out to, or an attribute of a namespace.
struct Target {
  std::vector<std::string> names;
  std::string attribute;  // of the namespace that has the only name; else empty
  bool unpacks = false;   // also to one name: {% set a, = ... %}
};

struct Loop {
  Target target;
  Expression items;
  Expression condition;  // may be empty
  Body body;
  Body otherwise;  // where there is no item
  int line;
};
Statement make_for(Loop loop);

/// {% break %}, {% continue %}
Statement make_flow(Flow flow);

Statement make_set(Target target, Expression value, int line);

/// {% set name %} ... {% endset %}
Statement make_set_block(Target target, Body body, int line);

struct Parameter {
  std::string name;
  Expression fallback;  // may be empty
};
Statement make_macro(std::string name, std::vector<Parameter> parameters, Body body);

/// Statements whose variables stay within: {% with %} and transformers' {% generation %}.
Statement make_scope(std::vector<std::pair<std::string, Expression>> variables, Body body,
                     int line);

}  // namespace prepack::jinja
