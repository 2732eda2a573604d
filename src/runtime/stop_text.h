#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prepack {

/// Looks for stop texts in text that arrives in pieces. Text that may yet become a stop text is
/// held back.
class StopText {
 public:
  explicit StopText(std::vector<std::string> stops);

  /// @return text that is certain to come before any stop text
  std::string push(std::string_view piece);

  /// @return what was held back; call at the end, if no stop text was found
  std::string finish();

  /// Whether a stop text was found; from then on nothing more is returned.
  bool found() const { return found_; }

 private:
  /// Where the stop text begins that is complete first; of two that end together, the longer. So
  /// what is found does not depend on how the text was cut into pieces.
  std::optional<size_t> find_stop() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool found_ = false;
};

}  // namespace prepack
