#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/product_panels.h"
#include "model/weight.h"

namespace prepack {

/// Whether this machine multiplies rows that are rounded to 8 bits in tiles. Fewer than are worth
/// that are rounded in the same groups.
bool has_rounded_tiles_product(const WeightRows& weight);

/// Whether rounded_tiles_product() is the fastest product of so many rows.
bool is_rounded_tiles_product_best(const Weight& weight, int64_t num_rows);

/// out = x * weight^T + bias on the CPU, or out += that, or SwiGLU of it, with x rounded to 8 bits,
/// by the kernel of kernels/byte_tiles_product.h.
/// @param x       [num_rows, in_features] of any dtype
/// @param weight  [out_features, in_features] of 8 bits with a scale for each row
/// @param bias    [out_features]
/// @param out     [num_rows, out_features], or half as many for SwiGLU, of any dtype, with its
///                columns next to each other
void rounded_tiles_product(const at::Tensor& x, const Weight& weight, const Bias& bias,
                           at::Tensor& out, Finish finish);

/// Bytes of the rounded input that is kept for the next products after one of so many rows.
int64_t rounded_tiles_bytes(int64_t num_rows, int64_t in_features);

}  // namespace prepack
