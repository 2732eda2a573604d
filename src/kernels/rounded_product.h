#pragma once

#include <cstdint>

#include "kernels/rounded_rows.h"
#include "kernels/weight_rows.h"
#include "prepack/dtype.h"

namespace prepack {

/// x * weight^T + bias of rounded x and a weight of 8 or 4 bits: sums of integers within a group,
/// of float32 beyond, which are rounded to the dtype of `out` once. For many rows also SwiGLU of
/// it: silu(gate) * up, of gates and ups that are rounded so.
/// @tparam T  int16_t; or int8_t for a weight of 4 bits, or of 8 in groups of 32 at least
template <typename T>
struct RoundedProduct {
  RoundedRows<T> x;   // with a sum_group of rounded_sum_group
  WeightRows weight;  // not PlainRows
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

/// The largest RoundedRows::sum_group that divides the groups of a weight.
/// @param x_group  RoundedRows::kGroup
int64_t rounded_sum_group(const WeightRows& weight, int64_t x_group);

/// Computes the output features [first, last), for few rows: weights are read once, and widened in
/// registers. A result is the same however the features are shared among calls, and however many
/// rows there are.
/// @param product  with x in tiles of one row
void multiply_few_rounded_rows(const RoundedProduct<int16_t>& product, int64_t first, int64_t last);
void multiply_few_rounded_rows(const RoundedProduct<int8_t>& product, int64_t first, int64_t last);

constexpr int64_t kRoundedTileRows = 12;

/// Likewise the features [first, last) of `out` for many rows, with results that are the same among
/// its own calls: weights are widened into the caches, for all rows at once; where vectors have 512
/// bits and rows are not too many, those of 8 bits, and of 4 for x of 8, panel by panel while the
/// next ones come from memory.
/// @param product  with x in tiles of kRoundedTileRows; of 8 bits with its corrections, if the
///                 weight has 8 bits too
void multiply_rounded_rows(const RoundedProduct<int16_t>& product, int64_t first, int64_t last);
void multiply_rounded_rows(const RoundedProduct<int8_t>& product, int64_t first, int64_t last);

}  // namespace prepack
