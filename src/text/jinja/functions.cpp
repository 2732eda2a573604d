#include "text/jinja/functions.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "text/jinja/write_value.h"

namespace prepack::jinja {
namespace {

std::tm local_time() {
  std::tm time{};
  const std::time_t now = std::time(nullptr);
  localtime_r(&now, &time);
  return time;
}

std::tm midnight_of(std::chrono::year_month_day date) {
  const std::chrono::sys_days day = date;
  const std::chrono::sys_days new_year = date.year() / std::chrono::January / 1;
  std::tm time{};
  time.tm_year = static_cast<int>(date.year()) - 1900;
  time.tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  time.tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  time.tm_wday = static_cast<int>(std::chrono::weekday(day).c_encoding());
  time.tm_yday = static_cast<int>((day - new_year).count());
  return time;
}

/// Python's, of a time without zone and microseconds.
std::string format_time(const std::tm& time, std::string_view format) {
  static const locale_t english = newlocale(LC_ALL_MASK, "C", nullptr);
  std::string text;
  for (size_t at = 0; at < format.size();) {
    // Of "%-d", the flag is glibc's.
    const size_t letter = format.find_first_not_of("-_0^#", at + 1);
    if (format[at] != '%' || letter == std::string_view::npos) {
      append_text(text, format.substr(at++, 1));
      continue;
    }
    std::array<char, 256> part{};
    const std::string directive(format.substr(at, letter + 1 - at));
    const size_t size = strftime_l(part.data(), part.size(), directive.c_str(), &time, english);
    if (directive == "%f") append_text(text, "000000");
    const bool is_known = directive != "%f" && directive != "%z" && directive != "%Z";
    if (is_known) append_text(text, {part.data(), size});
    at = letter + 1;
  }
  return text;
}

const Value& only_argument(const Arguments& arguments, std::string_view name) {
  const Value* value = arguments.find(0, name);
  if (!value || arguments.positional.size() + arguments.named.size() != 1) {
    throw RenderError(fmt::format("expected one argument, {}", name));
  }
  return *value;
}

Value make_range(const Arguments& arguments) {
  constexpr int64_t kMaxLength = 100'000;  // as in Jinja's sandbox
  const auto& ends = arguments.positional;
  if (ends.empty() || ends.size() > 3) throw RenderError("range has one to three arguments");
  const int64_t begin = ends.size() > 1 ? ends[0].integer("a range's end") : 0;
  const int64_t end = ends[ends.size() > 1 ? 1 : 0].integer("a range's end");
  const int64_t step = ends.size() > 2 ? ends[2].integer("a range's step") : 1;
  if (step == 0) throw RenderError("a range's step is 0");
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (std::ssize(items) == kMaxLength) throw RenderError("a range is too long");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return {std::move(items), Sequence::Kind::kRange};
}

}  // namespace

std::string format_date(std::chrono::year_month_day date, const std::string& format) {
  return format_time(midnight_of(date), format);
}

void set_functions(Context& context, std::optional<std::chrono::year_month_day> date) {
  const auto set = [&](std::string_view name, Function function) {
    context.scope->set(name, std::move(function));
  };
  set("range", make_range);
  set("namespace", [&context](const Arguments& arguments) {
    if (!arguments.positional.empty()) throw RenderError("namespace has named arguments alone");
    Namespace* space = context.add_namespace();
    for (const auto& [name, value] : arguments.named) space->attributes.emplace(name, value);
    return Value(space);
  });
  set("raise_exception", [](const Arguments& arguments) -> Value {
    throw RenderError(write_value(only_argument(arguments, "message")));
  });
  set("strftime_now", [date](const Arguments& arguments) -> Value {
    return format_time(date ? midnight_of(*date) : local_time(),
                       only_argument(arguments, "format").text("a format"));
  });
}

}  // namespace prepack::jinja
