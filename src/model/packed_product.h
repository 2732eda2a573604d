#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/weight_rows.h"
#include "model/product_panels.h"

namespace prepack {

/// out = x * weight^T + bias for many rows on the CPU, or out += that, or SwiGLU of it, by the
/// kernel of kernels/many_rows.h.
/// @param x       [num_rows, in_features] float32 or bfloat16
/// @param weight  [out_features, in_features], rounded to the dtype of x where it must be
/// @param bias    [out_features]
/// @param out     [num_rows, out_features], or half as many for SwiGLU, in the dtype of x, with its
///                columns next to each other
void packed_product(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                    at::Tensor& out, Finish finish);

/// Bytes of the copy of x that is kept for the next products after one of so many rows. Each thread
/// keeps many_rows_bytes() besides.
/// @param dtype  of x
int64_t packed_rows_bytes(int64_t num_rows, int64_t in_features, DType dtype);

}  // namespace prepack
