#pragma once

#include <cstdint>

#include "kernels/weight_rows.h"
#include "prepack/dtype.h"

namespace prepack {

/// Rows of x as products of many rows read them: tiles of kTileRows, in each the numbers of all its
/// rows that fill 32 bits, row by row, then the next ones. Rows past the last are zeros, and so are
/// numbers past a row's end, up to whole blocks.
struct PackedRows {
  static constexpr int64_t kTileRows = 12;
  static constexpr int64_t kBlock = 32;  // numbers

  DType dtype;   // float32 or bfloat16
  void* values;  // [num_tiles, num_blocks * kBlock / kTogether, kTileRows, kTogether], with 1 or 2
                 // numbers together

  static constexpr int64_t num_tiles(int64_t num_rows) {
    return (num_rows + kTileRows - 1) / kTileRows;
  }
  /// Numbers of a row.
  static constexpr int64_t padded(int64_t in_features) {
    return (in_features + kBlock - 1) / kBlock * kBlock;
  }
};

/// Fills the tiles [first, last).
/// @param x  [num_rows, in_features] in the dtype of `to`
void pack_rows(const void* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
               const PackedRows& to);

/// x * weight^T + bias for many rows, summed in float32; or SwiGLU of it: silu(gate) * up, of gates
/// and ups that are rounded to the dtype of x first.
struct ManyRowsProduct {
  PackedRows x;
  WeightRows weight;  // multiplied in the dtype of x, to which it is rounded where it must be
  const float* bias;  // [out_features]; null for none
  void* out;          // [num_rows, out_features], of SwiGLU [num_rows, num_gates], in the dtype of
                      // x, with rows `out_stride` apart
  int64_t num_rows;
  int64_t in_features;  // at least 1
  int64_t out_stride;
  bool adds_to_out;       // or overwrites it
  int64_t num_gates = 0;  // of SwiGLU, which overwrites: the weight's rows before those of the ups
};

/// Features that are computed together on this machine.
int64_t many_rows_features();

/// Computes the features [first, last) of `out`: weights are laid out anew in the caches, once for
/// all rows. A row's results are the same however the features are shared among calls, and whatever
/// rows there are besides.
/// Ref: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication (2008)
void multiply_many_rows(const ManyRowsProduct& product, int64_t first, int64_t last);

/// What a thread keeps of calls with so many features, besides x: weights that are laid out anew,
/// and sums.
/// @param dtype  of x
int64_t many_rows_bytes(DType dtype, int64_t in_features, int64_t num_features);

/// Whether the CPU's vectors have 512 bits.
bool has_wide_vectors();

/// Whether this product is ahead of LibTorch's on the whole: with vectors of at least 256 bits, as
/// measured on Zen 3 and 5. CPUs with AVX2 of Intel, for which LibTorch's is made, were not.
bool has_fast_many_rows();

/// Whether the CPU multiplies bfloat16 as it is. Elsewhere the product of it is right, but slow.
bool has_bfloat16_dot_products();

}  // namespace prepack
