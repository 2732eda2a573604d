#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>

#include "attention/window_mask.h"
#include "prepack/attention.h"

namespace prepack {
namespace {

/// Attention of rows of equal length, under a mask or, without one, causally.
at::Tensor attend_rows(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                       int64_t num_rows, const std::optional<at::Tensor>& mask) {
  const auto as_rows = [&](const at::Tensor& heads) {
    return heads.view({num_rows, -1, heads.size(1), heads.size(2)}).transpose(1, 2);
  };
  // Of LibTorch's CUDA kernels none takes both a mask and grouped heads: all scores would be made.
  const int64_t group = queries.size(1) / keys.size(1);
  const bool repeats_keys = mask.has_value() && queries.is_cuda() && group > 1;
  const auto of_keys = [&](const at::Tensor& heads) {
    return as_rows(repeats_keys ? heads.repeat_interleave(group, 1) : heads);
  };
  const auto attended = at::scaled_dot_product_attention(
      as_rows(queries), of_keys(keys), of_keys(values), mask, /*dropout_p=*/0.0,
      /*is_causal=*/!mask.has_value(), /*scale=*/std::nullopt, /*enable_gqa=*/!repeats_keys);
  return attended.transpose(1, 2).reshape(queries.sizes());
}

}  // namespace

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const MaskedAttention& spec) {
  return attend_rows(queries, keys, values, spec.mask.size(0), spec.mask);
}

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const CausalAttention& spec) {
  const int64_t row_len = queries.size(0) / std::max<int64_t>(spec.num_rows, 1);
  std::optional<at::Tensor> mask;
  if (spec.window < row_len) {
    mask = window_mask(row_len, spec.window, queries.device()).view({1, 1, row_len, row_len});
  }
  return attend_rows(queries, keys, values, spec.num_rows, mask);
}

}  // namespace prepack
