#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace prepack {

/// How sequences are put into bins. Both are offline: they look at the longest sequence first.
enum class PackingAlgorithm {
  kBestFitDecreasing,   // into the fullest bin that still has room
  kFirstFitDecreasing,  // into the first bin that has room
};

/// "best-fit-decreasing" or "first-fit-decreasing".
std::string_view to_string(PackingAlgorithm algorithm);

/// @throws InvalidArgument for an unknown name
PackingAlgorithm parse_packing_algorithm(std::string_view name);

struct PackingOptions {
  PackingAlgorithm algorithm = PackingAlgorithm::kBestFitDecreasing;
};

/// Which sequences share a bin (a row of the batch, or one forward).
///
/// Example: lengths {2, 5, 3} at capacity 5 give bins {{1}, {2, 0}}: sequence 1 fills a bin, and
/// sequences 2 and 0 lie one after the other in the second.
struct PackingPlan {
  int64_t capacity = 0;                    // tokens that fit one bin
  std::vector<std::vector<int64_t>> bins;  // bins[b] = indices of sequences, in packing order
};

/// Packs every sequence exactly once, whole, into bins of at most `capacity` tokens.
/// Deterministic; sequences of equal length keep the caller's order. O(n log n).
/// @param lengths  tokens of each sequence, each in [1, capacity]
/// @throws InvalidArgument naming the first empty sequence, or the first longer than `capacity`
/// Ref: Prepacking (arXiv:2404.09529), section 3.1; best fit: Johnson (1973).
PackingPlan pack(std::span<const int64_t> lengths, int64_t capacity,
                 const PackingOptions& options = {});

/// No plan can use fewer bins: the tokens divided by the capacity, rounded up.
int64_t lower_bound_bins(std::span<const int64_t> lengths, int64_t capacity);

}  // namespace prepack
