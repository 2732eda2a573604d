#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/statement.h"
#include "text/jinja/value.h"

namespace prepack::jinja {

/// A template in Jinja, as transformers renders chat templates: in a sandbox, with trimmed blocks,
/// `break` and `continue`, and its own functions raise_exception and strftime_now. Without what
/// needs other files, and what no chat template is known to use; such is an error, never left out.
/// So is a template that takes more work than any conversation needs: about a billion bytes made or
/// looked at. One difference: a name that a block sets is looked up outside of the block before,
/// where jinja2 knows it as undefined in blocks within.
/// Immutable: several threads may render one.
/// Ref: https://jinja.palletsprojects.com, and transformers' utils/chat_template_utils.py
class Template {
 public:
  /// @throws LoadError "line 3: ..."
  explicit Template(std::string_view source);

  /// @param variables  by name
  /// @param date       for strftime_now; absent: the time of this machine
  /// @throws InvalidArgument "line 3: ...", also where the template itself refuses
  std::string render(const std::map<std::string, Value>& variables,
                     std::optional<std::chrono::year_month_day> date) const;

 private:
  Body body_;
};

}  // namespace prepack::jinja
