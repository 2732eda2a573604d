#include "text/jinja/template.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "text/jinja/context.h"
#include "text/jinja/functions.h"
#include "text/jinja/parser.h"

namespace prepack::jinja {

Template::Template(std::string_view source) : body_(parse(source)) {}

std::string Template::render(const std::map<std::string, Value>& variables,
                             std::optional<std::chrono::year_month_day> date) const {
  constexpr int64_t kMaxWork = int64_t{1} << 30;
  const WorkLimit limit(kMaxWork);
  Scope scope;
  Context context(scope);
  set_functions(context, date);
  for (const auto& [name, value] : variables) scope.set(name, value);
  std::string text;
  try {
    execute(body_, context, text);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(fmt::format("line {}: no memory is left", context.line));
  } catch (const RenderError& error) {
    throw InvalidArgument(fmt::format("line {}: {}", context.line, error.what()));
  }
  return text;
}

}  // namespace prepack::jinja
