#include <algorithm>
#include <functional>
#include <map>

#include "packing/fit.h"

namespace prepack::packing {
namespace {

struct OpenBin {
  int64_t bin;
  int64_t num_segments;

  bool operator>(const OpenBin& other) const { return bin > other.bin; }
};

/// Bins of equal room, as a heap: the first of them in front.
class BinGroup {
 public:
  bool empty() const { return bins_.empty(); }

  void push(OpenBin bin) {
    bins_.push_back(bin);
    std::push_heap(bins_.begin(), bins_.end(), std::greater<>());
  }

  OpenBin pop() {
    std::pop_heap(bins_.begin(), bins_.end(), std::greater<>());
    const OpenBin first = bins_.back();
    bins_.pop_back();
    return first;
  }

 private:
  std::vector<OpenBin> bins_;
};

/// The open bins by the tokens they still have room for.
class BestFit {
 public:
  explicit BestFit(const Problem& problem) : problem_(problem) {}

  /// The fullest bin with room for one sequence is then the fullest for the next, until it has
  /// room no more: so a bin takes several at once, and a group is looked up once for all its bins.
  void place(const Run& run) {
    int64_t left = run.count;
    while (left > 0) {
      const auto group = groups_.lower_bound(run.length);
      if (group == groups_.end()) break;
      const int64_t room = group->first;
      while (left > 0 && !group->second.empty()) {
        left -= fill(group->second.pop(), room, run.length, left);
      }
      if (group->second.empty()) groups_.erase(group);
    }
    while (left > 0) {
      left -= fill({placements_.num_bins(), 0}, problem_.capacity, run.length, left);
    }
  }

  Placements take() { return std::move(placements_); }

 private:
  /// Puts as many sequences as fit into `bin`, at most `left`; returns how many.
  int64_t fill(OpenBin bin, int64_t room, int64_t length, int64_t left) {
    const int64_t count = std::min({left, room / length, problem_.max_segments - bin.num_segments});
    placements_.add(bin.bin, count);
    room -= count * length;
    bin.num_segments += count;
    if (room > 0 && bin.num_segments < problem_.max_segments) {
      groups_[room].push(bin);
    }
    return count;
  }

  const Problem& problem_;
  std::map<int64_t, BinGroup> groups_;
  Placements placements_;
};

}  // namespace

Placements best_fit(const Problem& problem) {
  BestFit best_fit(problem);
  for (const Run& run : problem.runs) best_fit.place(run);
  return best_fit.take();
}

}  // namespace prepack::packing
