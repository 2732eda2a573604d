#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prepack::cli {

/// A bar on standard error, shown only where that is a terminal and there is more than one thing to
/// do.
class ProgressBar {
 public:
  ProgressBar(std::string_view label, int64_t total);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(int64_t done);

  /// Removes the bar, so that other output can take its line.
  void clear();

 private:
  std::string label_;
  int64_t total_;
  bool enabled_;
  bool visible_ = false;
};

}  // namespace prepack::cli
