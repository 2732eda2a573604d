#include "text/jinja/builtin.h"

#include <fmt/format.h>

#include <algorithm>

namespace prepack::jinja {
namespace {

// See charge: filters may call others for each item.
constexpr size_t kCallBytes = 128;

}  // namespace

const Builtin* find_builtin(std::span<const Builtin> builtins, std::string_view name) {
  const auto found = std::ranges::find(builtins, name, &Builtin::name);
  return found == builtins.end() ? nullptr : &*found;
}

Value call_builtin(const Builtin& builtin, const Value& value, const Arguments& arguments) {
  charge(kCallBytes);
  if (builtin.takes_any) return builtin.call(value, arguments);
  const auto& parameters = builtin.parameters;
  const auto num_parameters =
      static_cast<size_t>(std::ranges::find(parameters, std::string_view()) - parameters.begin());
  if (arguments.positional.size() > num_parameters) {
    throw RenderError(fmt::format("{} has too many arguments", builtin.name));
  }
  for (const auto& [name, argument] : arguments.named) {
    if (std::ranges::find(parameters, name) == parameters.end()) {
      throw RenderError(fmt::format("{} has no argument named {}", builtin.name, name));
    }
  }
  for (size_t i = 0; i < builtin.num_required; ++i) {
    if (arguments.find(i, parameters[i])) continue;
    throw RenderError(fmt::format("{} lacks an argument: {}", builtin.name, parameters[i]));
  }
  return builtin.call(value, arguments);
}

}  // namespace prepack::jinja
