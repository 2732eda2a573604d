#pragma once

#include <cstdint>

#include "prepack/dtype.h"

namespace prepack {

/// The fewest numbers of a row that have a sum.
inline constexpr int64_t kMinSumGroup = 16;

/// Rows of x in 16 or 8 bits, for products with integers: one float32 scale for each group of
/// numbers of a row, scale = max |x| / 32767 or 127. Products with 8-bit integers, summed over a
/// group, fit into 32 bits. The rounding is by row, so that it is the same whatever rows are beside
/// it.
///
/// Rows are in tiles of `tile_rows`, 1 or kRoundedTileRows, laid out as products read them: as many
/// numbers of each row as fill 32 bits, row by row, then the next ones. In tiles of one row the
/// numbers follow each other. Rows past the last are zeros, and so are the numbers past a row's end
/// up to whole blocks.
/// Ref: Dettmers et al. (arXiv:2208.07339), products of integers with scales of activations;
///      llama.cpp's Q8_0, of 8 bits in groups of 32
/// @tparam T  int16_t or int8_t
template <typename T>
struct RoundedRows {
  static constexpr int64_t kBlock = 64;
  static constexpr int64_t kGroup = sizeof(T) == 2 ? 64 : 32;
  static constexpr int64_t kTogether = 4 / sizeof(T);  // numbers of a row that follow each other

  static constexpr int64_t kMaxScaleGroup = 128;

  int64_t tile_rows;
  int64_t sum_group;  // 64, 32 or kMinSumGroup numbers, not more than kGroup
  T* values;          // [num_tiles, num_blocks, kBlock / kTogether, tile_rows, kTogether]
  float* scales;      // [num_tiles, num_blocks * kBlock / kGroup, tile_rows]
  float* sums;        // [num_tiles, num_blocks * kBlock / sum_group, tile_rows]: of x by groups, to
                      // be multiplied with minimums
  int32_t* corrections = nullptr;  // as scales, or null: -128 times the sums of values by groups,
                                   // for products of many rows of 8 bits with weights of 8 bits;
                                   // left alone in tiles of one row
  int64_t scale_group = kGroup;    // in tiles of one row, several groups may have equal scales:
                                   // those of this many numbers, kMaxScaleGroup at most

  int64_t num_tiles(int64_t num_rows) const { return (num_rows + tile_rows - 1) / tile_rows; }

  static constexpr int64_t num_blocks(int64_t in_features) {
    return (in_features + kBlock - 1) / kBlock;
  }
};

/// Fills the tiles [first, last) from x. A group that has a number that is not finite makes the
/// results of its row NaN.
/// @param x  [num_rows, in_features] of `dtype`
void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int16_t>& to);
void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int8_t>& to);

}  // namespace prepack
