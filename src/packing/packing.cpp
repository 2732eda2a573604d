#include "prepack/packing.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "packing/balance.h"
#include "packing/exact.h"
#include "packing/fit.h"
#include "packing/lower_bound.h"
#include "prepack/error.h"

namespace prepack {
namespace {

using packing::Bins;
using packing::ExactPlan;
using packing::Problem;

constexpr PackingAlgorithm kAlgorithms[] = {
    PackingAlgorithm::kBestFitDecreasing, PackingAlgorithm::kFirstFitDecreasing,
    PackingAlgorithm::kGreedy, PackingAlgorithm::kIntegerProgramming, PackingAlgorithm::kOptimal};

void check_lengths(std::span<const int64_t> lengths, int64_t capacity) {
  if (capacity < 1) {
    throw InvalidArgument("packing capacity: expected at least 1 token, got " +
                          std::to_string(capacity));
  }
  constexpr int64_t kMostTokens = int64_t{1} << 61;  // sums and products of sums stay exact
  int64_t room = kMostTokens;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1) throw InvalidArgument("sequence " + std::to_string(i) + " is empty");
    if (lengths[i] > capacity) {
      throw InvalidArgument("sequence " + std::to_string(i) + " has " + std::to_string(lengths[i]) +
                            " tokens, more than the packing capacity of " +
                            std::to_string(capacity));
    }
    room -= std::min(lengths[i], room);
    if (room == 0) throw InvalidArgument("the sequences have more tokens than can be counted");
  }
}

void check_max_segments(int64_t max_segments) {
  if (max_segments < 0) {
    throw InvalidArgument("packing max_segments: expected 0 (any number) or more, got " +
                          std::to_string(max_segments));
  }
}

void check_options(const PackingOptions& options) {
  check_max_segments(options.max_segments);
  if (!(options.time_limit_s > 0)) {
    throw InvalidArgument("packing time_limit_s: expected more than 0 seconds, got " +
                          std::to_string(options.time_limit_s));
  }
  if (!options.balance) return;
  const auto check_cost = [](const char* name, double cost) {
    if (!std::isfinite(cost) || cost < 0) {
      throw InvalidArgument(std::string("packing balance.") + name +
                            ": expected a finite cost of 0 or more, got " + std::to_string(cost));
    }
  };
  check_cost("linear", options.balance->linear);
  check_cost("quadratic", options.balance->quadratic);
}

// Of fill_bins: some 20 ms. Real prompts by the thousand take a third, and where there are far more
// best fit meets the lower bound.
constexpr int64_t kMaxFillSteps = 12'000'000;

/// Best fit or, where that misses the lower bound, whichever heuristic needs the fewest bins.
Bins fewest_bins(const Problem& problem, int64_t lower_bound) {
  const auto best = packing::best_fit(problem);
  if (best.num_bins() == lower_bound) return best.bins(problem);
  const auto first = packing::first_fit(problem);
  const auto& fewest = first.num_bins() < best.num_bins() ? first : best;
  if (fewest.num_bins() > lower_bound) {
    Bins filled = packing::fill_bins(problem, fewest.num_bins() - 1, kMaxFillSteps);
    if (!filled.empty()) return filled;
  }
  return fewest.bins(problem);
}

/// The plan and, if it has more bins than the lower bound, what is known of it.
ExactPlan solve(const Problem& problem, int64_t lower_bound, const PackingOptions& options) {
  switch (options.algorithm) {
    case PackingAlgorithm::kBestFitDecreasing:
      return {fewest_bins(problem, lower_bound)};
    case PackingAlgorithm::kFirstFitDecreasing:
      return {packing::first_fit(problem).bins(problem)};
    case PackingAlgorithm::kGreedy:
      return {packing::best_fit(problem).bins(problem)};
    case PackingAlgorithm::kIntegerProgramming:
      return packing::integer_program(problem, fewest_bins(problem, lower_bound),
                                      options.time_limit_s);
    case PackingAlgorithm::kOptimal: {
      Bins bins = fewest_bins(problem, lower_bound);
      if (std::ssize(bins) == lower_bound) return {std::move(bins)};
      return packing::arc_flow(problem, lower_bound, std::move(bins), options.time_limit_s);
    }
  }
  throw InvalidArgument("packing algorithm: not one of the enumerators");
}

bool is_exact(PackingAlgorithm algorithm) {
  return algorithm == PackingAlgorithm::kIntegerProgramming ||
         algorithm == PackingAlgorithm::kOptimal;
}

}  // namespace

std::string_view to_string(PackingAlgorithm algorithm) {
  switch (algorithm) {
    case PackingAlgorithm::kBestFitDecreasing:
      return "best-fit-decreasing";
    case PackingAlgorithm::kFirstFitDecreasing:
      return "first-fit-decreasing";
    case PackingAlgorithm::kGreedy:
      return "greedy";
    case PackingAlgorithm::kIntegerProgramming:
      return "integer-programming";
    case PackingAlgorithm::kOptimal:
      return "optimal";
  }
  throw InvalidArgument("packing algorithm: not one of the enumerators");
}

PackingAlgorithm parse_packing_algorithm(std::string_view name) {
  for (auto algorithm : kAlgorithms) {
    if (name == to_string(algorithm)) return algorithm;
  }
  throw InvalidArgument(
      "packing algorithm: expected best-fit-decreasing, first-fit-decreasing, greedy, "
      "integer-programming or optimal, got " +
      std::string(name));
}

std::string_view to_string(Optimality optimality) {
  switch (optimality) {
    case Optimality::kUnknown:
      return "unknown";
    case Optimality::kProved:
      return "proved";
    case Optimality::kTimeLimit:
      return "time-limit";
  }
  throw InvalidArgument("optimality: not one of the enumerators");
}

PackingPlan pack(std::span<const int64_t> lengths, int64_t capacity,
                 const PackingOptions& options) {
  check_options(options);
  check_lengths(lengths, capacity);
  const Problem problem = packing::make_problem(lengths, capacity, options.max_segments);
  const int64_t lower_bound = packing::lower_bound(problem);

  auto [bins, proved] = solve(problem, lower_bound, options);
  PackingPlan plan{.capacity = capacity, .bins = std::move(bins)};
  if (proved || std::ssize(plan.bins) == lower_bound) {
    plan.optimality = Optimality::kProved;
  } else if (is_exact(options.algorithm)) {
    plan.optimality = Optimality::kTimeLimit;
  }
  if (options.balance) {
    plan.bins = packing::balance(problem, lengths, *options.balance, std::move(plan.bins));
  }
  return plan;
}

int64_t lower_bound_bins(std::span<const int64_t> lengths, int64_t capacity, int64_t max_segments) {
  check_max_segments(max_segments);
  check_lengths(lengths, capacity);
  return packing::lower_bound(packing::make_problem(lengths, capacity, max_segments));
}

}  // namespace prepack
