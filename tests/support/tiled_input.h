#pragma once

#include <cstdint>
#include <vector>

#include "kernels/byte_tiles.h"
#include "support/guarded_allocator.h"
#include "support/numbers.h"

namespace prepack::testing {

/// Rows of x rounded to tiles, each part in memory that ends with it, and where a row's numbers are
/// in it.
class TiledInput {
 public:
  /// @param x  [num_rows, in_features]
  TiledInput(const Numbers& x, int64_t num_rows, int64_t in_features)
      : num_rows_(num_rows),
        in_features_(in_features),
        row_size_(ByteTiles::num_blocks(in_features) * ByteTiles::kBlock),
        num_groups_(ByteTiles::num_groups(in_features)),
        values_(static_cast<size_t>(num_filled_rows() * row_size_), 99),
        scales_(static_cast<size_t>(num_filled_rows() * num_groups_), 99) {
    const int64_t num_tiles = ByteTiles::num_tiles(num_rows);
    // In two portions, the second one first.
    const int64_t middle = num_tiles / 2;
    round_to_tiles(x.dtype(), x.data(), num_rows, in_features, middle, num_tiles, tiles());
    round_to_tiles(x.dtype(), x.data(), num_rows, in_features, 0, middle, tiles());
  }

  ByteTiles tiles() { return {values_.data(), scales_.data()}; }
  int64_t num_filled_rows() const { return ByteTiles::num_tiles(num_rows_) * ByteTiles::kRows; }
  int64_t num_groups() const { return num_groups_; }
  int64_t row_size() const { return row_size_; }

  /// @param row, k  may lie behind the last, in what fills up tiles and blocks
  int8_t value(int64_t row, int64_t k) const {
    return values_[place(row, k / 4, row_size_ / 4) * 4 + static_cast<size_t>(k % 4)];
  }
  float scale(int64_t row, int64_t group) const { return scales_[place(row, group, num_groups_)]; }

  /// [num_rows, in_features], as products read it.
  std::vector<double> wide() const {
    std::vector<double> wide;
    for (int64_t row = 0; row < num_rows_; ++row) {
      for (int64_t k = 0; k < in_features_; ++k) {
        const double of_group = scale(row, k / ByteTiles::kGroup);
        wide.push_back(value(row, k) * of_group);
      }
    }
    return wide;
  }

 private:
  static size_t place(int64_t row, int64_t i, int64_t of_row) {
    const int64_t tile = row / ByteTiles::kRows;
    return static_cast<size_t>((tile * of_row + i) * ByteTiles::kRows + row % ByteTiles::kRows);
  }

  int64_t num_rows_;
  int64_t in_features_;
  int64_t row_size_;  // filled up
  int64_t num_groups_;
  std::vector<int8_t, WatchedAllocator<int8_t>> values_;
  std::vector<float, WatchedAllocator<float>> scales_;
};

}  // namespace prepack::testing
