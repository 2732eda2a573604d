#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "cuda/cuda_half.h"
#include "model/product_panels.h"
#include "weights/quantized_weight.h"

namespace prepack {

/// Of the unpacked weights or the sums of one slice: what a GPU's second cache has room for.
constexpr int64_t kGpuSliceBytes = int64_t{32} << 20;

/// out = x * weight^T + bias with a quantized weight on a GPU, or out += that.
///
/// Few rows are multiplied with weights that are unpacked as they are read. For more, a slice of
/// the weights after the other is unpacked to the dtype of x, and multiplied by cuBLAS. Where
/// inputs are to be of 8 bits, and each row of the weight is of 8 bits with one scale, more rows
/// are rounded, each with one scale too, for cuBLAS's product of integers.
///
/// @param half    the GPU's kernels
/// @param x       [num_rows, in_features]
/// @param weight  [out_features, in_features]
/// @param bias    [out_features] in the dtype of x
/// @param out     [num_rows, out_features] in the dtype of x, with its columns next to each other
/// @param slice_bytes  of unpacked weights or of sums at a time, if it is worth a product
/// Ref: Dettmers et al., LLM.int8(), arXiv 2208.07339, section 2.1, of rounding row by row
void quantized_gpu_product(const CudaHalf& half, const at::Tensor& x, const QuantizedWeight& weight,
                           const Bias& bias, const at::Tensor& out, bool adds,
                           int64_t slice_bytes = kGpuSliceBytes);

/// Rows of a quantized weight, widened on its GPU.
/// @param ids  [num_ids] int64
/// @return     [num_ids, in_features]
at::Tensor gather_on_gpu(const CudaHalf& half, const QuantizedWeight& weight, const at::Tensor& ids,
                         at::ScalarType dtype);

/// Whether rounding what a product reads to 8 bits makes it one of integers on a GPU.
bool has_integer_gpu_product(const QuantizedWeight& weight);

/// Most bytes that a product makes beside its output, for so many rows of `dtype`.
/// @param is_rounded  to 8 bits
int64_t quantized_gpu_product_bytes(int64_t num_rows, int64_t in_features, int64_t out_features,
                                    DType dtype, bool is_rounded);

}  // namespace prepack
