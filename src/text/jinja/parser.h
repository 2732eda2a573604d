#pragma once

#include <string_view>

#include "text/jinja/statement.h"

namespace prepack::jinja {

/// @throws LoadError "line 3: ..." for what is no template, or has statements of several files
Body parse(std::string_view source);

}  // namespace prepack::jinja
