#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/weight_rows.h"
#include "weights/quantized_weight.h"

namespace prepack {

int64_t out_features(const Weight& weight);

int64_t nbytes(const Weight& weight);

/// The rows of an embedding table that `ids` name, in some floating dtype.
/// @param ids  [num_ids] int64
/// @return     [num_ids, in_features]
at::Tensor embed(const Weight& weight, const at::Tensor& ids);

/// Some of the output features; shares the memory of the whole.
Weight narrow(const Weight& weight, int64_t first, int64_t count);

/// What products multiply the weight with; kInt16 in place of kInt8 where 16 share a scale.
Activations activations_of(const Weight& weight);

/// What the CPU's own products see; valid as long as the weight is, which must be contiguous, and
/// in no layout of oneDNN's.
WeightRows weight_rows(const Weight& weight);

}  // namespace prepack
