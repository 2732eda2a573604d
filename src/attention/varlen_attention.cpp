#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <numeric>

#include "attention/grouped_heads.h"
#include "prepack/attention.h"

namespace prepack {

VarlenAttention VarlenAttention::of_last_queries() const {
  auto last = *this;
  std::iota(last.cu_seqlens.begin(), last.cu_seqlens.end(), 0);
  return last;
}

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const VarlenAttention& spec) {
  const int64_t num_kv_heads = keys.size(1);
  const int64_t group = queries.size(1) / num_kv_heads;
  auto attended = at::empty_like(queries, at::MemoryFormat::Contiguous);
  for (size_t s = 0; s < spec.num_keys.size(); ++s) {
    const int64_t start = spec.cu_seqlens[s];
    const int64_t length = spec.cu_seqlens[s + 1] - start;
    const auto own = [&](const at::Tensor& all) {
      return group_keys(all.narrow(0, spec.first_keys[s], spec.num_keys[s]), group);
    };
    const auto result = at::scaled_dot_product_attention(
        group_queries(queries.narrow(0, start, length), num_kv_heads), own(keys), own(values),
        /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/length > 1);
    group_queries(attended.narrow(0, start, length), num_kv_heads).copy_(result);
  }
  return attended;
}

}  // namespace prepack
