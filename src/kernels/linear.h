#pragma once

#include <cstdint>

#include "kernels/weight_rows.h"
#include "prepack/dtype.h"

namespace prepack {

/// To float32, which holds every number of the other types.
void widen(DType dtype, const void* from, float* to, int64_t count);

/// From float32, rounded to the nearest, ties to even.
void narrow(const float* from, DType dtype, void* to, int64_t count);

/// Rows [first, last) of a weight to float32, which holds every weight that is stored. A quantized
/// one is scale * value + minimum, rounded once or twice; and once more to bfloat16.
/// @param dtype  float32 or bfloat16
/// @param to     [last - first, in_features]
void widen_rows(const WeightRows& weight, int64_t in_features, int64_t first, int64_t last,
                DType dtype, void* to);

/// x * weight^T + bias for a few rows x, in float32, with the weight as it is stored.
struct FewRowsProduct {
  const float* x;  // [num_rows, in_features]
  WeightRows weight;
  const float* bias;  // [out_features]; null for none
  float* out;         // [num_rows, out_features], with rows `out_stride` apart
  int64_t num_rows;
  int64_t in_features;  // at least 1
  int64_t out_stride;
  bool adds_to_out;  // or overwrites it
};

/// Computes the output features [first, last), each from the whole of its weight row. A result is
/// the same however the features are shared among calls.
void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last);

}  // namespace prepack
