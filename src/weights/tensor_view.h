#pragma once

#include <ATen/core/Tensor.h>

#include "weights/checkpoint.h"

namespace prepack {

/// LibTorch's name for the dtype of a stored tensor.
/// @throws LoadError if LibTorch cannot hold it
at::ScalarType scalar_type(const TensorInfo& info);

/// A stored tensor without a copy: it reads the mapped file, and keeps the mapping alive. Data that
/// is not aligned to its element size is copied. Never write to the result: the mapping is read
/// only.
/// @throws LoadError if LibTorch cannot hold the stored dtype
at::Tensor view_tensor(const StoredTensor& stored);

}  // namespace prepack
