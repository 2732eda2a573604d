#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <variant>

#include "kernels/weight_rows.h"
#include "weights/quantized_weight.h"

namespace prepack {

/// The weight of a product: as a checkpoint stores it, [out_features, in_features], or quantized.
using Weight = std::variant<at::Tensor, QuantizedWeight>;

int64_t out_features(const Weight& weight);

/// Some of the output features; shares the memory of the whole.
Weight narrow(const Weight& weight, int64_t first, int64_t count);

/// Whether products round their input as the weight is rounded.
bool rounds_activations(const Weight& weight);

/// What the CPU's own products see; valid as long as the weight is, which must be contiguous.
WeightRows weight_rows(const Weight& weight);

}  // namespace prepack
