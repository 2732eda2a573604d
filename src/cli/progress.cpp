#include "cli/progress.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/output.h"

namespace prepack::cli {

ProgressBar::ProgressBar(std::string_view label, int64_t total)
    : label_(label), total_(total), visible_(total > 1 && standard_error_is_terminal()) {
  update(0);
}

ProgressBar::~ProgressBar() {
  if (visible_) std::cerr << "\r\033[K" << std::flush;
}

void ProgressBar::update(int64_t done) {
  if (!visible_) return;
  const int percent = static_cast<int>(100 * done / total_);
  if (percent == last_percent_) return;
  last_percent_ = percent;
  constexpr int kWidth = 40;
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i * 100 < percent * kWidth ? "█" : "░";
  std::cerr << fmt::format("\r\033[K{} {} {:3}%  {}/{}", label_, bar, percent, done, total_)
            << std::flush;
}

}  // namespace prepack::cli
