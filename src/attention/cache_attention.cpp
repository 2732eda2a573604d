#include <ATen/ops/scaled_dot_product_attention.h>

#include "prepack/attention.h"

namespace prepack {

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const CacheAttention& spec) {
  // With one query per sequence, the query heads that share a key head can stand where a longer
  // sequence would have its tokens: [num_rows, num_kv_heads, group, head_dim].
  const auto grouped = queries.view({queries.size(0), keys.size(2), -1, queries.size(2)});
  const auto attended = at::scaled_dot_product_attention(
      grouped, keys.transpose(1, 2), values.transpose(1, 2), spec.mask, /*dropout_p=*/0.0,
      /*is_causal=*/false);
  return attended.reshape(queries.sizes());
}

}  // namespace prepack
