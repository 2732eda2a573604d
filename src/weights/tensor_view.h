#pragma once

#include <ATen/core/Tensor.h>

#include "weights/checkpoint.h"
#include "weights/quantized_weight.h"

namespace prepack {

/// LibTorch's name for the dtype that a stored tensor is read as: float32 of a quantized one, else
/// the stored one.
/// @throws LoadError if LibTorch cannot hold it
at::ScalarType scalar_type(const TensorInfo& info);

/// A stored tensor, in most cases without a copy: it reads the mapped file, and keeps the mapping
/// alive; never write to it. Copied are quantized tensors, which are widened to float32, those
/// whose rows are interleaved, which are put in order, and data that is not aligned to its element
/// size.
/// @throws LoadError if LibTorch cannot hold the stored dtype
at::Tensor view_tensor(const StoredTensor& stored);

/// The same in `dtype`, float32 or narrower, for a quantized tensor: rows are rounded as they are
/// widened, so that memory never holds the whole tensor in float32.
at::Tensor read_quantized(const StoredTensor& stored, at::ScalarType dtype);

/// A quantized matrix as it is, rows in order: its numbers become rows of `weight` from `first_row`
/// on, shared among the threads.
/// @param weight  whose format is common_format() of types that this one's is among
/// @return whether the format holds all scales and minimums, as it does where they are finite and
///         no minimum, of those that Q4_0 leaves to be understood, is too large for float16
bool read_packed(const StoredTensor& stored, int64_t first_row, QuantizedWeight& weight);

}  // namespace prepack
