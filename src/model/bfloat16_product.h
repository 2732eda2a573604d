#pragma once

#include <ATen/core/Tensor.h>

#include "model/product_panels.h"
#include "model/weight.h"

namespace prepack {

/// Whether bfloat16_product() is the fastest product of so many rows on this machine.
/// @param weight  contiguous, in bfloat16 or quantized
bool is_bfloat16_product_best(const Weight& weight, int64_t num_rows);

/// Whether bfloat16_product() of so many rows can write SwiGLU.
bool can_gate_bfloat16_product(const Weight& weight, int64_t num_rows);

/// out = x * weight^T + bias on the CPU, or out += that, or SwiGLU of it, in bfloat16 and summed in
/// float32. Quantized weights are rounded to bfloat16.
/// @param x       [num_rows, in_features] bfloat16
/// @param weight  [out_features, in_features], as above
/// @param bias    [out_features]
/// @param out     [num_rows, out_features], or half as many for SwiGLU, bfloat16, with its columns
///                next to each other
void bfloat16_product(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                      Finish finish);

}  // namespace prepack
