#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "text/jinja/context.h"

namespace prepack::jinja {

/// What templates can call: namespace, range, raise_exception and strftime_now.
/// @param date  for strftime_now, at midnight; absent: the time of this machine
void set_functions(Context& context, std::optional<std::chrono::year_month_day> date);

/// As Python's strftime, with English names whatever the locale.
std::string format_date(std::chrono::year_month_day date, const std::string& format);

}  // namespace prepack::jinja
