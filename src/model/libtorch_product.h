#pragma once

#include <ATen/core/Tensor.h>

#include "model/product_panels.h"
#include "model/weight.h"

namespace prepack {

/// out = x * weight^T + bias for many rows on the CPU, or out += that, by LibTorch's products. A
/// weight that is not stored in the dtype of x is widened to it block by block.
/// @param x       [num_rows, in_features] float32 or bfloat16
/// @param weight  [out_features, in_features], in no layout of oneDNN's; contiguous
/// @param bias    [out_features]
/// @param out     [num_rows, out_features] in the dtype of x, with its columns next to each other
void libtorch_product(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                      bool adds);

}  // namespace prepack
