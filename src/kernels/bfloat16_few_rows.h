#pragma once

#include <cstdint>

namespace prepack {

/// x * weight^T + bias for a few rows x, all stored in bfloat16 and summed in float32: a result is
/// rounded once. Subnormal numbers may be taken for zeros.
struct FewBFloat16RowsProduct {
  const void* x;       // [num_rows, in_features]
  const void* weight;  // [out_features, in_features]
  const float* bias;   // [out_features]; null for none
  void* out;           // [num_rows, out_features], with rows `out_stride` apart
  int64_t num_rows;
  int64_t in_features;  // even, at least 2
  int64_t out_stride;
  bool adds_to_out;  // or overwrites it
};

/// Computes the output features [first, last). A result is the same however the features are shared
/// among calls. Fast where CPUs multiply bfloat16 as it is (has_bfloat16_dot_products()).
void multiply_few_bfloat16_rows(const FewBFloat16RowsProduct& product, int64_t first, int64_t last);

}  // namespace prepack
