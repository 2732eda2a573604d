#pragma once

#include <cstdint>

#include "prepack/dtype.h"

namespace prepack {

/// Rows of x in 8 bits as a matrix unit multiplies them, in tiles of 16: one float32 scale for each
/// group of numbers of a row, scale = max |x| / 127. The groups are longer than RoundedRows', as a
/// unit so fast would wait for its sums to be scaled. The rounding is by row, so that it is the
/// same whatever rows are beside it. Rows past the last are zeros, and so are the numbers past a
/// row's end up to whole blocks.
struct ByteTiles {
  static constexpr int64_t kRows = 16;
  static constexpr int64_t kPairRows = 2 * kRows;  // of two tiles, which are multiplied at a time
  static constexpr int64_t kBlock = 64;            // numbers of a row in a tile
  static constexpr int64_t kGroup = 128;

  int8_t* values;  // [num_tiles, num_blocks, kBlock / 4, kRows, 4]
  float* scales;   // [num_tiles, num_groups, kRows]

  static constexpr int64_t num_tiles(int64_t num_rows) {
    return (num_rows + kPairRows - 1) / kPairRows * 2;
  }
  static constexpr int64_t num_blocks(int64_t in_features) {
    return (in_features + kBlock - 1) / kBlock;
  }
  static constexpr int64_t num_groups(int64_t in_features) {
    return (in_features + kGroup - 1) / kGroup;
  }
};

/// Fills the tiles [first, last) from x. A group that has a number that is not finite makes the
/// results of its row NaN.
/// @param x  [num_rows, in_features] of `dtype`
void round_to_tiles(DType dtype, const void* x, int64_t num_rows, int64_t in_features,
                    int64_t first, int64_t last, const ByteTiles& to);

}  // namespace prepack
