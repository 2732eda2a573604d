#include "attention/libtorch_attention.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <optional>

#include "attention/grouped_heads.h"

namespace prepack {

void zero_unattended(const VarlenAttention& spec, const at::Tensor& attended) {
  for (size_t i = 0; i < spec.num_keys.size(); ++i) {
    if (spec.num_keys[i] > 0) continue;
    attended.narrow(0, spec.cu_seqlens[i], spec.cu_seqlens[i + 1] - spec.cu_seqlens[i]).zero_();
  }
  const int64_t end = spec.cu_seqlens.back();
  if (end < attended.size(0)) attended.narrow(0, end, attended.size(0) - end).zero_();
}

at::Tensor attend_with_libtorch(const at::Tensor& queries, const at::Tensor& keys,
                                const at::Tensor& values, const VarlenAttention& spec) {
  TORCH_CHECK(spec.beginnings.empty(), "attention: LibTorch's reads one run of keys per sequence");
  const int64_t num_kv_heads = keys.size(1);
  const int64_t group = queries.size(1) / num_kv_heads;
  auto attended = at::empty(queries.sizes(), queries.options());
  zero_unattended(spec, attended);
  for (size_t i = 0; i < spec.num_keys.size(); ++i) {
    const int64_t start = spec.cu_seqlens[i];
    const int64_t num_queries = spec.cu_seqlens[i + 1] - start;
    if (num_queries == 0 || spec.num_keys[i] == 0) continue;
    // Keys before the first query's window are nobody's.
    const int64_t num_before =
        std::max<int64_t>(spec.num_keys[i] - num_queries + 1 - spec.window, 0);
    const int64_t first_key = spec.first_keys[i] + num_before;
    const int64_t num_keys = spec.num_keys[i] - num_before;
    const bool is_causal = num_queries == num_keys && spec.window >= num_keys;
    // LibTorch aligns queries and keys at their starts; here they end together.
    std::optional<at::Tensor> mask;
    if (num_queries > 1 && !is_causal) {
      const int64_t last_key = num_keys - num_queries;  // of the first query
      mask = at::ones({num_queries, num_keys}, queries.options().dtype(at::kBool))
                 .tril_(last_key)
                 .triu_(last_key + 1 - std::min(spec.window, num_keys));
    }
    const auto result = at::scaled_dot_product_attention(
        group_queries(queries.narrow(0, start, num_queries), num_kv_heads),
        group_keys(keys.narrow(0, first_key, num_keys), group),
        group_keys(values.narrow(0, first_key, num_keys), group), mask,
        /*dropout_p=*/0.0, is_causal);
    group_queries(attended.narrow(0, start, num_queries), num_kv_heads).copy_(result);
  }
  return attended;
}

}  // namespace prepack
