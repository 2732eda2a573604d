#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
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

/// Whether gated_wide_product() can compute so many rows of this dtype.
bool can_gate_wide_product(const Weight& weight, c10::ScalarType dtype, int64_t num_rows);

/// out = SwiGLU of x * weight^T + bias, likewise, of gates and ups that are rounded to the dtype of
/// `out`.
/// @param weight  [2 * size, in_features]: first the gates' rows, then the ups'
/// @param bias    [2 * size]
/// @param out     [num_rows, size] in the dtype of x, with its columns next to each other
void gated_wide_product(const at::Tensor& x, const Weight& weight,
                        const std::optional<at::Tensor>& bias, at::Tensor& out);

/// out += x * weight^T + bias, likewise.
void add_wide_product(const at::Tensor& x, const Weight& weight,
                      const std::optional<at::Tensor>& bias, at::Tensor& out);

/// Rows up to which weights of every dtype are multiplied as they are stored: for more, a product
/// may lay them out anew, in memory that it keeps.
int64_t max_stored_rows();

/// Bytes of the copies in float32 that a product of another dtype makes of its input and output,
/// if it does not round its input.
int64_t wide_copy_bytes(int64_t num_rows, int64_t in_features, int64_t out_features);

/// Bytes of an input that a product rounds, at most, which are kept for the next products.
int64_t rounded_rows_bytes(int64_t num_rows, int64_t in_features);

}  // namespace prepack
