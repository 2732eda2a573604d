#pragma once

#include <cstdint>
#include <vector>

namespace prepack::packing {

/// What a column has in a row.
struct MipEntry {
  int64_t row;
  double coefficient;
};

enum class MipStatus { kOptimal, kInfeasible, kTimeLimit };

struct MipSolution {
  MipStatus status = MipStatus::kTimeLimit;
  std::vector<int64_t> values;  // of the columns; empty if no solution was found
};

/// A mixed integer program: the least total cost. All its variables are integers.
class Mip {
 public:
  /// @return the number of a new row, whose sum shall lie in [lower, upper]
  int64_t add_row(double lower, double upper);

  /// @return the number of a new column, a variable in [0, upper]
  int64_t add_column(double cost, double upper, const std::vector<MipEntry>& entries);

  int64_t num_columns() const { return static_cast<int64_t>(costs_.size()); }

  /// Solved by CBC on one thread; other calls wait meanwhile.
  MipSolution solve(double time_limit_s) const;

 private:
  std::vector<double> row_lower_, row_upper_;
  std::vector<double> costs_, column_upper_;
  // The matrix, column by column.
  std::vector<int> starts_ = {0};
  std::vector<int> rows_;
  std::vector<double> coefficients_;
};

/// As the upper bound of a row.
inline constexpr double kInfinity = 1e30;

}  // namespace prepack::packing
