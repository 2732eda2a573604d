#include "cli/progress.h"

#include <fmt/format.h>

#include <iostream>

#include "cli/output.h"

namespace prepack::cli {

ProgressBar::ProgressBar(std::string_view label, int64_t total)
    : label_(label), total_(total), enabled_(total > 1 && standard_error_is_terminal()) {}

void ProgressBar::show(int64_t done) {
  if (!enabled_) return;
  constexpr int64_t kWidth = 40;
  std::string bar;
  for (int64_t i = 0; i < kWidth; ++i) bar += i * total_ < done * kWidth ? "█" : "░";
  std::cerr << fmt::format("\r\033[K{} {} {:3}%  {}/{}", label_, bar, 100 * done / total_, done,
                           total_)
            << std::flush;
  visible_ = true;
}

void ProgressBar::clear() {
  if (visible_) std::cerr << "\r\033[K" << std::flush;
  visible_ = false;
}

}  // namespace prepack::cli
