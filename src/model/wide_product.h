#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "model/weight.h"

namespace prepack {

/// out = x * weight^T + bias on the CPU, whatever the weight is stored as: in float32, and rounded
/// once to the dtype of `out`.
/// @param x       [num_rows, in_features] of any dtype
/// @param weight  [out_features, in_features]
/// @param bias    [out_features]
/// @param out     [num_rows, out_features] of any dtype; may be a slice of columns
void wide_product(const at::Tensor& x, const Weight& weight, const std::optional<at::Tensor>& bias,
                  at::Tensor& out);

/// out += x * weight^T + bias, likewise.
void add_wide_product(const at::Tensor& x, const Weight& weight,
                      const std::optional<at::Tensor>& bias, at::Tensor& out);

}  // namespace prepack
