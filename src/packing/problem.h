#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace prepack::packing {

using Bins = std::vector<std::vector<int64_t>>;

inline constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

/// Sequences of equal length: `count` entries of `Problem::order`, from `first`.
struct Run {
  int64_t length = 0;
  int64_t first = 0;
  int64_t count = 0;
};

/// The histogram of the lengths. Real prompts have far fewer lengths than there are prompts.
struct Problem {
  std::vector<int64_t> order;  // sequences, longest first; of equal length in the caller's order
  std::vector<Run> runs;       // by decreasing length
  int64_t capacity = 0;
  int64_t max_segments = kUnbounded;
};

/// @param max_segments  0: unbounded
Problem make_problem(std::span<const int64_t> lengths, int64_t capacity, int64_t max_segments);

/// Whether every sequence is in exactly one bin, and no bin holds too much. A solver computes with
/// tolerances, and its word alone is not enough.
bool is_valid(const Bins& bins, const Problem& problem);

/// Where sequences go that are placed in the order of `Problem::order`.
class Placements {
 public:
  /// The next `count` sequences go into `bin`; a new one has the number `num_bins()`.
  void add(int64_t bin, int64_t count);

  int64_t num_bins() const { return static_cast<int64_t>(sizes_.size()); }

  Bins bins(const Problem& problem) const;

 private:
  struct Placement {
    int64_t bin, count;
  };
  std::vector<Placement> placements_;
  std::vector<int64_t> sizes_;  // sequences of each bin
};

}  // namespace prepack::packing
