#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace prepack {

/// How sequences are put into bins. All are offline; the fits look at the longest sequence first.
enum class PackingAlgorithm {
  kBestFitDecreasing,   // into the fullest bin with room; better still where `pack` says so
  kFirstFitDecreasing,  // into the first bin that has room
  kGreedy,              // the paper's: the fullest bin with room, the first of those
  kIntegerProgramming,  // the paper's: a binary variable for every sequence in every bin
  kOptimal,             // the fewest bins, proved by a lower bound or else by an arc-flow model
};

/// "best-fit-decreasing", "first-fit-decreasing", "greedy", "integer-programming" or "optimal".
std::string_view to_string(PackingAlgorithm algorithm);

/// @throws InvalidArgument for an unknown name
PackingAlgorithm parse_packing_algorithm(std::string_view name);

/// What a sequence of n tokens costs: linear * n + quadratic * n^2, because attention is quadratic.
struct SegmentCost {
  double linear = 1;
  double quadratic = 0;
};

struct PackingOptions {
  PackingAlgorithm algorithm = PackingAlgorithm::kBestFitDecreasing;

  /// Sequences of one bin at most; 0: any number.
  int64_t max_segments = 0;

  /// If given, sequences are moved between the bins so that these cost as nearly the same as a
  /// heuristic achieves. Neither the number of bins nor the cost of the dearest grows.
  std::optional<SegmentCost> balance = {};

  /// Wall-clock seconds that the solver of integer-programming and optimal may take. It looks at
  /// the clock between its steps, so that a large model overruns the limit somewhat, and solves one
  /// model of the process at a time. An interrupt (SIGINT) ends it, and is then passed on.
  double time_limit_s = 10;
};

/// Whether a plan is known to have the fewest bins possible.
enum class Optimality {
  kUnknown,    // more bins than the lower bound, and no algorithm was asked to decide
  kProved,     // as many bins as the lower bound, or the solver proved that fewer will not do
  kTimeLimit,  // the best plan found before the time ran out, or where a model would be too large
};

/// "unknown", "proved" or "time-limit".
std::string_view to_string(Optimality optimality);

/// Which sequences share a bin (a row of the batch, or one forward).
///
/// Example: lengths {2, 5, 3} at capacity 5 give bins {{1}, {2, 0}}: sequence 1 fills a bin, and
/// sequences 2 and 0 lie one after the other in the second.
struct PackingPlan {
  int64_t capacity = 0;                         // tokens that fit one bin
  std::vector<std::vector<int64_t>> bins = {};  // bins[b] = indices of sequences, in packing order
  Optimality optimality = Optimality::kUnknown;
};

/// Packs every sequence exactly once, whole, into bins of at most `capacity` tokens and
/// `max_segments` sequences. Sequences of equal length keep the caller's order. Deterministic,
/// except for what a solver achieves within its time limit.
///
/// Best fit looks up about as many bins as there are distinct lengths. Where it misses the lower
/// bound, `kBestFitDecreasing` also tries first fit, and to fill one bin after the other as well as
/// it can be filled (for 20 ms or so), and takes the plan with the fewest bins: never more than
/// `kFirstFitDecreasing` or `kGreedy` use. The exact algorithms fall back to that plan.
///
/// `kIntegerProgramming` builds its n^2 variables for up to 150 sequences and `kOptimal` up to
/// 50,000 arcs; beyond, they return the plan of `kBestFitDecreasing`, with `kTimeLimit` unless it
/// meets the lower bound.
/// @param lengths  tokens of each sequence, each in [1, capacity]
/// @throws InvalidArgument naming the first empty sequence, the first longer than `capacity`, or
///                         the option at fault
/// Ref: Prepacking (arXiv:2404.09529), section 3.1; the fits: Johnson (1973); arc flow: Valério de
/// Carvalho (1999).
PackingPlan pack(std::span<const int64_t> lengths, int64_t capacity,
                 const PackingOptions& options = {});

/// No plan can use fewer bins. At least the tokens divided by the capacity, and the sequences
/// divided by `max_segments` (0: any number), both rounded up. O(n log n).
/// Ref: the bound L2 of Martello and Toth, Knapsack Problems (1990), section 8.3.2
int64_t lower_bound_bins(std::span<const int64_t> lengths, int64_t capacity,
                         int64_t max_segments = 0);

}  // namespace prepack
