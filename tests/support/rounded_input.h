#pragma once

#include <cstdint>
#include <vector>

#include "kernels/rounded_rows.h"
#include "support/guarded_allocator.h"
#include "support/numbers.h"

namespace prepack::testing {

/// Rows of x rounded to T, each part in memory that ends with it, and where a row's numbers are in
/// it.
template <typename T>
class RoundedInput {
 public:
  using Rows = RoundedRows<T>;

  /// @param x  [num_rows, in_features] float32
  RoundedInput(const Numbers& x, int64_t num_rows, int64_t in_features, int64_t tile_rows,
               int64_t sum_group, int64_t scale_group = Rows::kGroup)
      : num_rows_(num_rows), in_features_(in_features) {
    rows_.tile_rows = tile_rows;
    rows_.sum_group = sum_group;
    rows_.scale_group = scale_group;
    const int64_t num_tiles = rows_.num_tiles(num_rows);
    row_size_ = Rows::num_blocks(in_features) * Rows::kBlock;
    const auto size = static_cast<size_t>(num_tiles * row_size_ * tile_rows);
    values_.resize(size, 99);
    scales_.resize(size / Rows::kGroup, 99);
    sums_.resize(size / static_cast<size_t>(sum_group), 99);
    corrections_.resize(scales_.size(), 99);
    rows_.corrections = sizeof(T) == 1 ? corrections_.data() : nullptr;
    rows_.values = values_.data();
    rows_.scales = scales_.data();
    rows_.sums = sums_.data();
    // In two portions, the second one first.
    const int64_t middle = num_tiles / 2;
    round_rows(x.dtype(), x.data(), num_rows, in_features, middle, num_tiles, rows_);
    round_rows(x.dtype(), x.data(), num_rows, in_features, 0, middle, rows_);
  }

  const Rows& rows() const { return rows_; }
  int64_t num_groups() const { return row_size_ / Rows::kGroup; }
  int64_t row_size() const { return row_size_; }

  /// @param row, k  may lie behind the last, in what fills up tiles and groups
  T value(int64_t row, int64_t k) const {
    constexpr int64_t kTogether = Rows::kTogether;
    return values_[place(row, k / kTogether, row_size_ / kTogether) * kTogether + k % kTogether];
  }
  float scale(int64_t row, int64_t group) const { return scales_[place(row, group, num_groups())]; }
  /// @param unit  of sum_group numbers
  float sum(int64_t row, int64_t unit) const {
    return sums_[place(row, unit, row_size_ / rows_.sum_group)];
  }

  /// [num_rows, in_features], as products read it.
  std::vector<double> wide() const {
    std::vector<double> wide;
    for (int64_t row = 0; row < num_rows_; ++row) {
      for (int64_t k = 0; k < in_features_; ++k) {
        wide.push_back(value(row, k) * static_cast<double>(scale(row, k / Rows::kGroup)));
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
  int64_t row_size_;  // filled up
  Rows rows_;
  std::vector<T, WatchedAllocator<T>> values_;
  std::vector<float, WatchedAllocator<float>> scales_;
  std::vector<int32_t, WatchedAllocator<int32_t>> corrections_;
  std::vector<float, WatchedAllocator<float>> sums_;
};

}  // namespace prepack::testing
