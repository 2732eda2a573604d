#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/weight_rows.h"
#include "model/product_panels.h"

namespace prepack {

/// out = x * weight^T + bias for many rows on the CPU, or out += that, by the kernel of
/// kernels/many_rows.h.
/// @param x       [num_rows, in_features] float32 or bfloat16
/// @param weight  [out_features, in_features]: any for float32, bfloat16 for bfloat16
/// @param bias    [out_features]
/// @param out     [num_rows, out_features] in the dtype of x, with its columns next to each other
void packed_product(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                    at::Tensor& out, bool adds);

/// Bytes of the copy of x that products make, for each row; it is kept for those that follow.
int64_t packed_bytes_per_row(int64_t in_features, at::ScalarType dtype);

}  // namespace prepack
