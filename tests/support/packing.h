#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "prepack/packing.h"
#include "support/random.h"

/// What the tests of packing share: random instances, and what the algorithms are compared with.
namespace prepack::testing {

using Bins = std::vector<std::vector<int64_t>>;

constexpr auto kBestFit = PackingAlgorithm::kBestFitDecreasing;
constexpr auto kFirstFit = PackingAlgorithm::kFirstFitDecreasing;
constexpr auto kGreedy = PackingAlgorithm::kGreedy;
constexpr auto kIntegerProgramming = PackingAlgorithm::kIntegerProgramming;
constexpr auto kOptimal = PackingAlgorithm::kOptimal;
constexpr PackingAlgorithm kFits[] = {kBestFit, kFirstFit, kGreedy};
constexpr PackingAlgorithm kAlgorithms[] = {kBestFit, kFirstFit, kGreedy, kIntegerProgramming,
                                            kOptimal};

struct Instance {
  std::vector<int64_t> lengths;
  int64_t capacity = 1;
  int64_t max_segments = 0;  // 0: any number
};

/// Capacities that are and are not powers of two; lengths that are short, long, equal or mixed; and
/// for every other instance a bound on the segments.
inline std::vector<Instance> random_instances(int count, int64_t max_sequences,
                                              int64_t max_capacity) {
  Random random(count);
  std::vector<Instance> instances;
  for (int i = 0; i < count; ++i) {
    const int64_t capacity = random.integer(1, max_capacity);
    const int64_t shortest = random.integer(1, capacity);
    const int64_t longest = random.integer(shortest, capacity);
    instances.push_back({random.integers(random.integer(0, max_sequences), shortest, longest),
                         capacity, i % 2 == 0 ? 0 : random.integer(1, 6)});
  }
  return instances;
}

inline PackingPlan pack(const Instance& instance, PackingOptions options) {
  options.max_segments = instance.max_segments;
  return prepack::pack(instance.lengths, instance.capacity, options);
}

inline int64_t lower_bound_bins(const Instance& instance) {
  return prepack::lower_bound_bins(instance.lengths, instance.capacity, instance.max_segments);
}

inline int64_t used(const std::vector<int64_t>& bin, const std::vector<int64_t>& lengths) {
  int64_t tokens = 0;
  for (int64_t sequence : bin) tokens += lengths.at(sequence);
  return tokens;
}

inline bool is_full(const std::vector<int64_t>& bin, int64_t max_segments) {
  return max_segments > 0 && std::ssize(bin) >= max_segments;
}

/// Every sequence once, no bin empty, and none over the capacity or the number of segments.
inline bool is_valid(const PackingPlan& plan, const Instance& instance) {
  std::vector<int> times(instance.lengths.size(), 0);
  for (const auto& bin : plan.bins) {
    const bool too_many = instance.max_segments > 0 && std::ssize(bin) > instance.max_segments;
    if (bin.empty() || too_many || used(bin, instance.lengths) > instance.capacity) return false;
    for (int64_t sequence : bin) ++times.at(sequence);
  }
  return plan.capacity == instance.capacity &&
         times == std::vector<int>(instance.lengths.size(), 1);
}

/// The definition of both fits, in quadratic time. `better(a, b)`: room a is preferred to b.
inline Bins naive_fit(const Instance& instance,
                      const std::function<bool(int64_t, int64_t)>& better) {
  std::vector<int64_t> order(instance.lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return instance.lengths[a] > instance.lengths[b]; });
  Bins bins;
  std::vector<int64_t> rooms;
  for (int64_t sequence : order) {
    const int64_t length = instance.lengths[sequence];
    size_t chosen = bins.size();
    for (size_t bin = 0; bin < bins.size(); ++bin) {
      if (rooms[bin] < length || is_full(bins[bin], instance.max_segments)) continue;
      if (chosen == bins.size() || better(rooms[bin], rooms[chosen])) chosen = bin;
    }
    if (chosen == bins.size()) {
      bins.emplace_back();
      rooms.push_back(instance.capacity);
    }
    bins[chosen].push_back(sequence);
    rooms[chosen] -= length;
  }
  return bins;
}

/// The fewest bins that hold all lengths, by trying everything.
inline int64_t fewest_bins(const Instance& instance) {
  struct Bin {
    int64_t room, segments;
  };
  auto lengths = instance.lengths;
  std::sort(lengths.rbegin(), lengths.rend());
  const auto max_segments = instance.max_segments > 0 ? instance.max_segments : std::ssize(lengths);
  auto best = std::ssize(lengths);
  std::vector<Bin> bins;
  const std::function<void(size_t)> place = [&](size_t next) {
    if (std::ssize(bins) >= best) return;
    if (next == lengths.size()) {
      best = std::ssize(bins);
      return;
    }
    for (size_t bin = 0; bin < bins.size(); ++bin) {
      if (bins[bin].room < lengths[next] || bins[bin].segments == max_segments) continue;
      bins[bin].room -= lengths[next];
      ++bins[bin].segments;
      place(next + 1);
      bins[bin].room += lengths[next];
      --bins[bin].segments;
    }
    bins.push_back({instance.capacity - lengths[next], 1});
    place(next + 1);
    bins.pop_back();
  };
  place(0);
  return best;
}

}  // namespace prepack::testing
