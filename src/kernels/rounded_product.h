#pragma once

#include <cstdint>

#include "kernels/weight_rows.h"

namespace prepack {

/// Rows of x in 8 bits: one float32 scale for each group of 32 numbers of a row, scale = max |x| /
/// 127, as llama.cpp's Q8_0 has them. A tile of rows is laid out as products of integers read it:
/// two numbers of each row, row by row, then the next two. Rows past the last are zeros, and so are
/// the numbers past a row's end.
/// Ref: Dettmers et al. (arXiv:2208.07339), products of 8 bits with scales of activations
struct RoundedRows {
  static constexpr int64_t kTileRows = 12;
  static constexpr int64_t kGroup = 32;

  int16_t* values;  // [num_tiles(num_rows), num_groups(in_features), 16, 12, 2], from -127 to 127
  float* scales;    // [num_tiles(num_rows), num_groups(in_features), 12]
  float* sums;      // likewise: of the groups' numbers, to be multiplied with minimums

  static constexpr int64_t num_tiles(int64_t num_rows) {
    return (num_rows + kTileRows - 1) / kTileRows;
  }
  static constexpr int64_t num_groups(int64_t in_features) {
    return (in_features + kGroup - 1) / kGroup;
  }
};

/// Fills the tiles [first, last) from x. A group that has a number that is not finite makes the
/// results of its row NaN.
/// @param x  [num_rows, in_features]
void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to);

/// x as its rounding has it: scale * value.
/// @param x, to  [num_rows, in_features]; may be the same
void round_and_widen(const float* x, int64_t num_rows, int64_t in_features, float* to);

/// Whether products of integers take such a weight: of 8 or 4 bits, and with no scales for less
/// than a group of x.
bool multiplies_rounded(const WeightRows& weight);

/// x * weight^T + bias of rounded x and rounded weights: sums of integers within a group, of
/// float32 beyond.
struct RoundedProduct {
  RoundedRows x;
  WeightRows weight;  // that multiplies_rounded
  const float* bias;  // [out_features]; null for none
  float* out;         // [num_rows, out_features], with rows `out_stride` apart
  int64_t num_rows;
  int64_t in_features;  // at least 1
  int64_t out_stride;
  bool adds_to_out;  // or overwrites it
};

/// Computes the output features [first, last). A result is the same however the features are shared
/// among calls.
void multiply_rounded(const RoundedProduct& product, int64_t first, int64_t last);

}  // namespace prepack
