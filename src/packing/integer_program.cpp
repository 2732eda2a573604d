#include <numeric>

#include "packing/exact.h"
#include "packing/mip.h"

namespace prepack::packing {
namespace {

// Beyond, the solver overruns its time limit by seconds.
constexpr int64_t kMaxSequences = 150;

}  // namespace

ExactPlan integer_program(const Problem& problem, Bins fallback, double time_limit_s) {
  const int64_t n = std::ssize(problem.order);
  if (n == 0 || n > kMaxSequences) return {std::move(fallback)};

  Mip mip;
  const bool bounded = problem.max_segments < n;
  const auto capacity = static_cast<double>(problem.capacity);
  std::vector<int64_t> once(n), tokens(n), segments(n);  // rows
  for (auto& row : once) row = mip.add_row(1, 1);
  for (auto& row : tokens) row = mip.add_row(-kInfinity, 0);
  if (bounded) {
    for (auto& row : segments) row = mip.add_row(-kInfinity, 0);
  }
  std::vector<std::vector<int64_t>> x(n);  // x[i][j]; i counts in the order of the problem
  for (const Run& run : problem.runs) {
    for (int64_t i = run.first; i < run.first + run.count; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        std::vector<MipEntry> entries = {{once[i], 1},
                                         {tokens[j], static_cast<double>(run.length)}};
        if (bounded) entries.push_back({segments[j], 1});
        x[i].push_back(mip.add_column(0, 1, entries));
      }
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    std::vector<MipEntry> entries = {{tokens[j], -capacity}};
    if (bounded) entries.push_back({segments[j], -static_cast<double>(problem.max_segments)});
    mip.add_column(1, 1, entries);
  }

  const MipSolution solution = mip.solve(time_limit_s);
  if (solution.values.empty()) return {std::move(fallback)};
  Bins bins(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (solution.values[x[i][j]] == 1) bins[j].push_back(problem.order[i]);
    }
  }
  if (!is_valid(bins, problem)) return {std::move(fallback)};
  std::erase_if(bins, [](const auto& bin) { return bin.empty(); });
  const auto num_used = std::reduce(solution.values.end() - n, solution.values.end());  // y
  const bool proved = solution.status == MipStatus::kOptimal && std::ssize(bins) == num_used;
  if (!proved && bins.size() >= fallback.size()) return {std::move(fallback)};
  return {std::move(bins), proved};
}

}  // namespace prepack::packing
