#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "attention/grouped_heads.h"
#include "prepack/attention.h"

namespace prepack {

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const VarlenAttention& spec) {
  const int64_t num_kv_heads = keys.size(1);
  const int64_t group = queries.size(1) / num_kv_heads;
  auto attended = at::empty_like(queries);
  for (size_t s = 0; s + 1 < spec.cu_seqlens.size(); ++s) {
    const int64_t start = spec.cu_seqlens[s];
    const int64_t length = spec.cu_seqlens[s + 1] - start;
    const auto result = at::scaled_dot_product_attention(
        group_queries(queries.narrow(0, start, length), num_kv_heads),
        group_keys(keys.narrow(0, start, length), group),
        group_keys(values.narrow(0, start, length), group), /*attn_mask=*/{}, /*dropout_p=*/0.0,
        /*is_causal=*/true);
    group_queries(attended.narrow(0, start, length), num_kv_heads).copy_(result);
  }
  return attended;
}

}  // namespace prepack
