#pragma once

#include <cstdint>
#include <vector>

#include "kernels/rounded_rows.h"
#include "support/numbers.h"

namespace prepack::testing {

/// Rows of x in 16 bits, each part in memory that ends with it, and where a row's numbers are in
/// it.
class RoundedInput {
 public:
  /// @param x  [num_rows, in_features] float32
  RoundedInput(const Numbers& x, int64_t num_rows, int64_t in_features, int64_t tile_rows,
               int64_t sum_group)
      : num_rows_(num_rows), in_features_(in_features) {
    rows_.tile_rows = tile_rows;
    rows_.sum_group = sum_group;
    const int64_t num_tiles = rows_.num_tiles(num_rows);
    num_groups_ = RoundedRows::num_groups(in_features);
    const auto num_scales = static_cast<size_t>(num_tiles * num_groups_ * tile_rows);
    values_.resize(num_scales * RoundedRows::kGroup, 99);
    scales_.resize(num_scales, 99);
    sums_.resize(num_scales * static_cast<size_t>(RoundedRows::kGroup / sum_group), 99);
    rows_.values = values_.data();
    rows_.scales = scales_.data();
    rows_.sums = sums_.data();
    // In two portions, the second one first.
    const int64_t middle = num_tiles / 2;
    round_rows(x.floats(), num_rows, in_features, middle, num_tiles, rows_);
    round_rows(x.floats(), num_rows, in_features, 0, middle, rows_);
  }

  const RoundedRows& rows() const { return rows_; }
  int64_t num_groups() const { return num_groups_; }

  /// @param row, k  may lie behind the last, in what fills up tiles and groups
  int16_t value(int64_t row, int64_t k) const {
    const int64_t pair = row / rows_.tile_rows * num_groups_ * RoundedRows::kGroup / 2 + k / 2;
    return values_[(pair * rows_.tile_rows + row % rows_.tile_rows) * 2 + k % 2];
  }
  float scale(int64_t row, int64_t group) const { return scales_[place(row, group, num_groups_)]; }
  /// @param unit  of sum_group numbers
  float sum(int64_t row, int64_t unit) const {
    return sums_[place(row, unit, num_groups_ * RoundedRows::kGroup / rows_.sum_group)];
  }

  /// [num_rows, in_features], as products read it.
  std::vector<double> wide() const {
    std::vector<double> wide;
    for (int64_t row = 0; row < num_rows_; ++row) {
      for (int64_t k = 0; k < in_features_; ++k) {
        wide.push_back(value(row, k) * static_cast<double>(scale(row, k / RoundedRows::kGroup)));
      }
    }
    return wide;
  }

 private:
  size_t place(int64_t row, int64_t i, int64_t of_row) const {
    const int64_t tile = row / rows_.tile_rows;
    return static_cast<size_t>((tile * of_row + i) * rows_.tile_rows + row % rows_.tile_rows);
  }

  int64_t num_rows_;
  int64_t in_features_;
  int64_t num_groups_;
  RoundedRows rows_;
  std::vector<int16_t> values_;
  std::vector<float> scales_;
  std::vector<float> sums_;
};

}  // namespace prepack::testing
