#pragma once

#include <cstdint>

namespace prepack {

/// Rows of x in 16 bits, for products with integers: one float32 scale for each group of 64 numbers
/// of a row, scale = max |x| / 32767. Products of 8-bit integers with it, summed over a group, fit
/// into 32 bits. The rounding is by row, so that it is the same whatever rows are beside it.
///
/// Rows are in tiles of `tile_rows`, laid out as products read them: two numbers of each row, row
/// by row, then the next two. In tiles of one row the numbers follow each other. Rows past the last
/// are zeros, and so are the numbers past a row's end.
/// Ref: Dettmers et al. (arXiv:2208.07339), products of integers with scales of activations;
///      llama.cpp's Q8_0, of 8 bits in groups of 32
struct RoundedRows {
  static constexpr int64_t kGroup = 64;

  int64_t tile_rows;
  int64_t sum_group;  // 64, 32 or 16 numbers
  int16_t* values;    // [num_tiles(num_rows), num_groups(in_features), kGroup / 2, tile_rows, 2]
  float* scales;      // [num_tiles(num_rows), num_groups(in_features), tile_rows]
  float* sums;        // [.., num_groups(in_features) * kGroup / sum_group, tile_rows]: of x by
                      // groups, to be multiplied with minimums

  int64_t num_tiles(int64_t num_rows) const { return (num_rows + tile_rows - 1) / tile_rows; }

  static constexpr int64_t num_groups(int64_t in_features) {
    return (in_features + kGroup - 1) / kGroup;
  }
};

/// Fills the tiles [first, last) from x. A group that has a number that is not finite makes the
/// results of its row NaN.
/// @param x  [num_rows, in_features]
void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to);

}  // namespace prepack
