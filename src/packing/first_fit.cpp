#include <algorithm>

#include "packing/fit.h"

namespace prepack::packing {
namespace {

/// Room of each bin in a binary tree of maxima, so that the first bin with enough room is found
/// in O(log n). The number of leaves is a power of two; unopened bins have the whole capacity.
class RoomTree {
 public:
  RoomTree(int64_t num_bins, int64_t capacity) {
    while (num_leaves_ < num_bins) num_leaves_ *= 2;
    room_.assign(2 * num_leaves_, capacity);
  }

  int64_t first_with(int64_t length) const {
    int64_t node = 1;
    while (node < num_leaves_) {
      node *= 2;
      if (room_[node] < length) ++node;
    }
    return node - num_leaves_;
  }

  int64_t room(int64_t bin) const { return room_[bin + num_leaves_]; }

  void set_room(int64_t bin, int64_t room) {
    int64_t node = bin + num_leaves_;
    room_[node] = room;
    for (node /= 2; node >= 1; node /= 2) {
      room_[node] = std::max(room_[2 * node], room_[2 * node + 1]);
    }
  }

 private:
  int64_t num_leaves_ = 1;
  std::vector<int64_t> room_;
};

}  // namespace

Placements first_fit(const Problem& problem) {
  RoomTree tree(std::ssize(problem.order), problem.capacity);
  std::vector<int64_t> num_segments;
  Placements placements;
  for (const Run& run : problem.runs) {
    for (int64_t left = run.count; left > 0;) {
      // The first bin with room for one sequence stays the first until it has room no more.
      const int64_t bin = tree.first_with(run.length);
      if (bin == std::ssize(num_segments)) num_segments.push_back(0);
      const int64_t count =
          std::min({left, tree.room(bin) / run.length, problem.max_segments - num_segments[bin]});
      placements.add(bin, count);
      left -= count;
      num_segments[bin] += count;
      const bool closed = num_segments[bin] == problem.max_segments;
      tree.set_room(bin, closed ? 0 : tree.room(bin) - count * run.length);
    }
  }
  return placements;
}

}  // namespace prepack::packing
