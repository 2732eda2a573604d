#pragma once

#include <cstdint>

#include "prepack/dtype.h"

namespace prepack {

/// x / sqrt(mean(x^2) + eps) * weight, each row by itself, computed in float32.
/// Ref: Zhang and Sennrich (arXiv:1910.07467); transformers LlamaRMSNorm.
/// @param dtype   of x, weight and out
/// @param x       [num_rows, size]
/// @param weight  [size]
/// @param out     [num_rows, size]; may be x
void rms_norm(DType dtype, const void* x, const void* weight, double eps, void* out,
              int64_t num_rows, int64_t size);

}  // namespace prepack
