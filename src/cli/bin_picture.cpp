#include "cli/bin_picture.h"

#include <fmt/format.h>

#include <algorithm>

namespace prepack::cli {
namespace {

constexpr int kWidth = 64;

int64_t used_tokens(const std::vector<int64_t>& bin, std::span<const int64_t> lengths) {
  int64_t used = 0;
  for (int64_t sequence : bin) used += lengths[sequence];
  return used;
}

/// One bar; every segment gets at least one column while there are columns left.
std::string draw_bar(const std::vector<int64_t>& bin, std::span<const int64_t> lengths,
                     int64_t tokens_per_bar) {
  std::string bar;
  int columns = 0;
  int64_t used = 0;
  for (size_t i = 0; i < bin.size(); ++i) {
    used += lengths[bin[i]];
    const int end = std::max<int>(static_cast<int>(used * kWidth / tokens_per_bar), columns + 1);
    for (; columns < std::min(end, kWidth); ++columns) bar += i % 2 == 0 ? "█" : "▒";
  }
  for (; columns < kWidth; ++columns) bar += "·";
  return bar;
}

}  // namespace

std::string draw_bins(const PrefillPlan& plan, std::span<const int64_t> lengths, int max_rows) {
  // A flat forward may be far shorter than its budget, so bars are scaled to the longest.
  int64_t longest = 1;
  for (const auto& forward : plan.forwards) {
    for (const auto& bin : forward.bins) longest = std::max(longest, used_tokens(bin, lengths));
  }
  std::string picture;
  int row = 0;
  for (const auto& forward : plan.forwards) {
    for (const auto& bin : forward.bins) {
      if (row++ >= max_rows) continue;
      picture +=
          fmt::format("{:>5} {} {:>6} tokens, {} prompts\n", row - 1,
                      draw_bar(bin, lengths, longest), used_tokens(bin, lengths), bin.size());
    }
  }
  if (row > max_rows) picture += fmt::format("      ... and {} more\n", row - max_rows);
  return picture;
}

}  // namespace prepack::cli
