#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prepack::cli {

/// A bar on standard error, drawn only where that is a terminal, and removed at the end.
class ProgressBar {
 public:
  ProgressBar(std::string_view label, int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(int64_t done);

 private:
  std::string label_;
  int64_t total_;
  bool visible_;
  int last_percent_ = -1;
};

}  // namespace prepack::cli
