#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "model/weight.h"

namespace prepack {

/// y = x * weight^T + bias, in the dtype of x.
///
/// On the CPU the weight may be of another dtype than x: it stays as the checkpoint stores it,
/// often mapped from the file, and is widened to float32 on the way to each product. bfloat16 and
/// float16 are subsets of float32, so that the results are those of a weight converted beforehand.
/// So is a quantized weight, which on a GPU is widened to the dtype of x. A BlockedWeight is of the
/// dtype of x, and there on the CPU alone.
struct Linear {
  Weight weight;                   // [out_features, in_features]
  std::optional<at::Tensor> bias;  // [out_features]

  /// The input feature that each column of the weight is for, [in_features] int64; absent: the
  /// columns are in order. The input is put into this order before the product.
  std::optional<at::Tensor> input_order = {};

  /// @param input  [num_tokens, in_features]
  /// @return       [num_tokens, out_features]
  at::Tensor operator()(const at::Tensor& input) const;

  /// The same into `out`.
  /// @param out  [num_tokens, out_features] in the dtype of `input`
  void write_to(const at::Tensor& input, at::Tensor& out) const;

  /// Whether write_gated_to() can multiply this input: products of few rows cannot, nor can those
  /// of LibTorch and oneDNN.
  bool can_gate(const at::Tensor& input) const;

  /// SwiGLU of the product into `out`, with what one writes and swiglu() then reads rounded to its
  /// dtype all the same. The first half of the output features are the gates.
  /// @param out  [num_tokens, out_features / 2] contiguous, in the dtype of `input`
  void write_gated_to(const at::Tensor& input, at::Tensor& out) const;

  /// sum += x * weight^T + bias, as residual connections need it.
  /// @param input  [num_tokens, in_features]
  /// @param sum    [num_tokens, out_features] in the dtype of `input`
  void add_to(const at::Tensor& input, at::Tensor& sum) const;

  /// The part that computes these output features; shares the memory of this one.
  Linear rows(int64_t first, int64_t count) const;
};

}  // namespace prepack
