#include <ATen/ops/scaled_dot_product_attention.h>

#include "prepack/attention.h"

namespace prepack {

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const MaskedAttention& spec) {
  const int64_t num_rows = spec.mask.size(0);
  const int64_t row_len = spec.mask.size(2);
  const auto as_rows = [&](const at::Tensor& heads) {
    return heads.view({num_rows, row_len, heads.size(1), heads.size(2)}).transpose(1, 2);
  };
  const auto attended = at::scaled_dot_product_attention(
      as_rows(queries), as_rows(keys), as_rows(values), spec.mask, /*dropout_p=*/0.0,
      /*is_causal=*/false, /*scale=*/std::nullopt, /*enable_gqa=*/true);
  return attended.transpose(1, 2).reshape(queries.sizes());
}

}  // namespace prepack
