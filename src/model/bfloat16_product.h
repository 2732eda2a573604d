#pragma once

#include <ATen/core/Tensor.h>

#include "model/product_panels.h"

namespace prepack {

/// Whether bfloat16_product() is the fastest product of so many rows on this machine.
bool is_bfloat16_product_best(int64_t num_rows);

/// out = x * weight^T + bias on the CPU, or out += that, all in bfloat16 and summed in float32.
/// @param x       [num_rows, in_features]
/// @param weight  [out_features, in_features], contiguous
/// @param bias    [out_features]
/// @param out     [num_rows, out_features], with its columns next to each other
void bfloat16_product(const at::Tensor& x, const at::Tensor& weight, const Bias& bias,
                      at::Tensor& out, bool adds);

}  // namespace prepack
