#include "prepack/packing.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "prepack/error.h"

namespace prepack {
namespace {

void check_lengths(std::span<const int64_t> lengths, int64_t capacity) {
  if (capacity < 1) {
    throw InvalidArgument("packing capacity: expected at least 1 token, got " +
                          std::to_string(capacity));
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1) throw InvalidArgument("sequence " + std::to_string(i) + " is empty");
    if (lengths[i] > capacity) {
      throw InvalidArgument("sequence " + std::to_string(i) + " has " + std::to_string(lengths[i]) +
                            " tokens, more than the packing capacity of " +
                            std::to_string(capacity));
    }
  }
}

/// Indices of the sequences, longest first.
std::vector<int64_t> by_decreasing_length(std::span<const int64_t> lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  return order;
}

std::vector<std::vector<int64_t>> best_fit(std::span<const int64_t> lengths, int64_t capacity) {
  std::vector<std::vector<int64_t>> bins;
  std::multimap<int64_t, size_t> bins_by_room;  // tokens still free -> bin
  for (int64_t sequence : by_decreasing_length(lengths)) {
    const int64_t length = lengths[sequence];
    auto fullest = bins_by_room.lower_bound(length);
    size_t bin;
    int64_t room;
    if (fullest == bins_by_room.end()) {
      bin = bins.size();
      room = capacity;
      bins.emplace_back();
    } else {
      bin = fullest->second;
      room = fullest->first;
      bins_by_room.erase(fullest);
    }
    bins[bin].push_back(sequence);
    if (room > length) bins_by_room.emplace(room - length, bin);
  }
  return bins;
}

/// Room of each bin in a binary tree of maxima, so that the first bin with enough room is found
/// in O(log n). The number of leaves is a power of two; unopened bins have the whole capacity.
class FirstFitTree {
 public:
  FirstFitTree(size_t num_bins, int64_t capacity) {
    while (num_leaves_ < num_bins) num_leaves_ *= 2;
    room_.assign(2 * num_leaves_, capacity);
  }

  /// Takes `length` tokens from the first bin that has them; returns that bin.
  size_t take(int64_t length) {
    size_t node = 1;
    while (node < num_leaves_) {
      node *= 2;
      if (room_[node] < length) ++node;
    }
    const size_t bin = node - num_leaves_;
    room_[node] -= length;
    for (node /= 2; node >= 1; node /= 2) {
      room_[node] = std::max(room_[2 * node], room_[2 * node + 1]);
    }
    return bin;
  }

 private:
  size_t num_leaves_ = 1;
  std::vector<int64_t> room_;
};

std::vector<std::vector<int64_t>> first_fit(std::span<const int64_t> lengths, int64_t capacity) {
  std::vector<std::vector<int64_t>> bins;
  FirstFitTree rooms(lengths.size(), capacity);
  for (int64_t sequence : by_decreasing_length(lengths)) {
    const size_t bin = rooms.take(lengths[sequence]);
    if (bin == bins.size()) bins.emplace_back();
    bins[bin].push_back(sequence);
  }
  return bins;
}

}  // namespace

std::string_view to_string(PackingAlgorithm algorithm) {
  switch (algorithm) {
    case PackingAlgorithm::kBestFitDecreasing:
      return "best-fit-decreasing";
    case PackingAlgorithm::kFirstFitDecreasing:
      return "first-fit-decreasing";
  }
  throw InvalidArgument("packing algorithm: not one of the enumerators");
}

PackingAlgorithm parse_packing_algorithm(std::string_view name) {
  for (auto algorithm :
       {PackingAlgorithm::kBestFitDecreasing, PackingAlgorithm::kFirstFitDecreasing}) {
    if (name == to_string(algorithm)) return algorithm;
  }
  throw InvalidArgument(
      "packing algorithm: expected best-fit-decreasing or "
      "first-fit-decreasing, got " +
      std::string(name));
}

PackingPlan pack(std::span<const int64_t> lengths, int64_t capacity,
                 const PackingOptions& options) {
  check_lengths(lengths, capacity);
  return {capacity, options.algorithm == PackingAlgorithm::kBestFitDecreasing
                        ? best_fit(lengths, capacity)
                        : first_fit(lengths, capacity)};
}

int64_t lower_bound_bins(std::span<const int64_t> lengths, int64_t capacity) {
  check_lengths(lengths, capacity);
  const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  return (tokens + capacity - 1) / capacity;
}

}  // namespace prepack
