#include "packing/problem.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace prepack::packing {
namespace {

std::vector<int64_t> sort_by_counting(std::span<const int64_t> lengths, int64_t longest) {
  std::vector<int64_t> next(longest + 2);  // next[n]: where the next sequence of n tokens goes
  for (int64_t length : lengths) ++next[length - 1];
  for (int64_t length = longest; length > 0; --length) next[length - 1] += next[length];
  std::vector<int64_t> order(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) order[next[lengths[i]]++] = static_cast<int64_t>(i);
  return order;
}

std::vector<int64_t> sort_by_comparing(std::span<const int64_t> lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  return order;
}

/// Sequences, longest first.
std::vector<int64_t> by_decreasing_length(std::span<const int64_t> lengths) {
  if (lengths.empty()) return {};
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  const bool few_lengths = longest <= std::max<int64_t>(8192, std::ssize(lengths));
  return few_lengths ? sort_by_counting(lengths, longest) : sort_by_comparing(lengths);
}

}  // namespace

Problem make_problem(std::span<const int64_t> lengths, int64_t capacity, int64_t max_segments) {
  Problem problem{.order = by_decreasing_length(lengths),
                  .runs = {},
                  .capacity = 0,
                  .max_segments = max_segments == 0 ? kUnbounded : max_segments};
  for (int64_t i = 0; i < std::ssize(problem.order); ++i) {
    const int64_t length = lengths[problem.order[i]];
    if (problem.runs.empty() || problem.runs.back().length != length) {
      problem.runs.push_back({length, i, 0});
    }
    ++problem.runs.back().count;
    // No bin holds more than all sequences: products with a boundless capacity would overflow.
    problem.capacity += std::min(length, capacity - problem.capacity);
  }
  return problem;
}

bool is_valid(const Bins& bins, const Problem& problem) {
  std::vector<int64_t> lengths(problem.order.size());  // 0 once the sequence was seen
  for (const Run& run : problem.runs) {
    for (int64_t i = run.first; i < run.first + run.count; ++i) {
      lengths[problem.order[i]] = run.length;
    }
  }
  size_t num_sequences = 0;
  for (const auto& bin : bins) {
    int64_t room = problem.capacity;
    for (int64_t sequence : bin) {
      const int64_t length = std::exchange(lengths[sequence], 0);
      room -= length;
      if (length == 0 || room < 0) return false;
    }
    if (std::ssize(bin) > problem.max_segments) return false;
    num_sequences += bin.size();
  }
  return num_sequences == problem.order.size();
}

void Placements::add(int64_t bin, int64_t count) {
  if (bin == num_bins()) sizes_.push_back(0);
  sizes_[bin] += count;
  placements_.push_back({bin, count});
}

Bins Placements::bins(const Problem& problem) const {
  Bins bins(sizes_.size());
  for (size_t bin = 0; bin < bins.size(); ++bin) bins[bin].reserve(sizes_[bin]);
  auto next = problem.order.begin();
  for (const auto& [bin, count] : placements_) {
    bins[bin].insert(bins[bin].end(), next, next + count);
    next += count;
  }
  return bins;
}

}  // namespace prepack::packing
