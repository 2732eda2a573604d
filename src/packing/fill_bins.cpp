#include <algorithm>

#include "packing/fit.h"

namespace prepack::packing {
namespace {

/// Fills one bin after the other with what is left. A bin is kept as positions in `Problem::order`.
class BinFiller {
 public:
  BinFiller(const Problem& problem, int64_t max_steps) : problem_(problem), max_steps_(max_steps) {
    for (const Run& run : problem.runs) left_.push_back(run.count);
  }

  /// The longest sequence left and, beside it, those whose sum comes closest to the room it leaves;
  /// nothing once the steps are used up.
  std::vector<int64_t> next_bin() {
    while (left_[longest_] == 0) ++longest_;
    std::vector<int64_t> bin = {take(longest_)};
    const int64_t room = problem_.capacity - problem_.runs[longest_].length;
    if (!find_sums(room)) return {};
    int64_t sum = room;
    while (sums_[sum].run < 0) --sum;
    while (sum > 0) {
      const int64_t run = sums_[sum].run;
      bin.push_back(take(run));
      sum -= problem_.runs[run].length;
    }
    std::sort(bin.begin(), bin.end());
    return bin;
  }

 private:
  /// How a number of tokens is made of what is left.
  struct Sum {
    int32_t run = -1;          // of the shortest sequence in it; -1: it cannot be made
    int32_t of_run = 0;        // how many of that run
    int32_t num_segments = 0;  // of all runs
  };

  int64_t take(int64_t run) {
    const auto& [length, first, count] = problem_.runs[run];
    return first + count - left_[run]--;
  }

  /// All sums up to `room`, until that one is reached. Each is made of the longest sequences that
  /// make it: these are the harder ones to place later. False once the steps are used up.
  bool find_sums(int64_t room) {
    sums_.assign(room + 1, {});
    sums_[0].run = 0;
    const auto fits = [&](const Run& run) { return run.length <= room; };
    auto run = std::find_if(problem_.runs.begin() + longest_, problem_.runs.end(), fits);
    num_steps_ += room + (run - problem_.runs.begin()) - longest_;
    for (; run != problem_.runs.end() && sums_[room].run < 0; ++run) {
      const auto number = static_cast<int32_t>(run - problem_.runs.begin());
      if (++num_steps_ > max_steps_) return false;
      if (left_[number] == 0) continue;
      num_steps_ += room - run->length;
      for (int64_t sum = run->length; sum <= room; ++sum) {
        const Sum& shorter = sums_[sum - run->length];
        if (sums_[sum].run >= 0 || shorter.run < 0) continue;
        const bool extends = shorter.run == number && shorter.num_segments > 0;
        const int32_t of_run = extends ? shorter.of_run + 1 : 1;
        // One more segment is the longest sequence of the bin.
        if (of_run > left_[number] || shorter.num_segments + 2 > problem_.max_segments) continue;
        sums_[sum] = {number, of_run, shorter.num_segments + 1};
      }
    }
    return num_steps_ <= max_steps_;
  }

  const Problem& problem_;
  int64_t max_steps_;
  std::vector<int64_t> left_;  // of each run
  int64_t longest_ = 0;        // the first run of which something is left
  std::vector<Sum> sums_;
  int64_t num_steps_ = 0;
};

}  // namespace

Bins fill_bins(const Problem& problem, int64_t max_bins, int64_t max_steps) {
  // A sum is kept for every number of tokens.
  constexpr int64_t kLargestCapacity = int64_t{1} << 20;
  if (problem.capacity > kLargestCapacity) return {};
  BinFiller filler(problem, max_steps);
  Bins bins;
  for (int64_t placed = 0; placed < std::ssize(problem.order);) {
    if (std::ssize(bins) == max_bins) return {};
    bins.push_back(filler.next_bin());
    if (bins.back().empty()) return {};
    placed += std::ssize(bins.back());
    for (int64_t& position : bins.back()) position = problem.order[position];
  }
  return bins;
}

}  // namespace prepack::packing
