#pragma once

#include <cstdint>

#include "kernels/byte_tiles.h"
#include "kernels/weight_rows.h"
#include "prepack/dtype.h"

namespace prepack {

/// x * weight^T + bias: sums of integers within a group, of float32 beyond, which are rounded to
/// the dtype of `out` once; or SwiGLU of it: silu(gate) * up, of gates and ups that are rounded so.
struct ByteTilesProduct {
  ByteTiles x;
  Int8Rows weight;
  const float* bias;  // [out_features]; null for none
  DType out_dtype;
  void* out;         // [num_rows, out_features], of SwiGLU [num_rows, num_gates], with rows
                     // `out_stride` apart
  int64_t num_rows;  // at least 1, as in_features
  int64_t in_features;
  int64_t out_stride;
  bool adds_to_out;       // or overwrites it
  int64_t num_gates = 0;  // of SwiGLU, which overwrites: the weight's rows before those of the ups
};

/// Features that are computed together.
constexpr int64_t kByteTilesFeatures = 32;

/// Whether this machine can compute such products.
bool can_multiply_byte_tiles();

/// Computes the features [first, last) of `out`. A result is the same however the features are
/// shared among calls, and however many rows there are.
void multiply_byte_tiles(const ByteTilesProduct& product, int64_t first, int64_t last);

}  // namespace prepack
