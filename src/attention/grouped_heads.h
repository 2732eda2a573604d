#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

// LibTorch's kernels want as many key heads as query heads. Instead of copying each key head for
// every query head of its group, the key heads become the batch and the group becomes the heads,
// whose keys all lie at the same place (stride 0).

/// [num_tokens, num_heads, head_dim] -> view [num_kv_heads, group, num_tokens, head_dim].
inline at::Tensor group_queries(const at::Tensor& queries, int64_t num_kv_heads) {
  return queries.view({queries.size(0), num_kv_heads, -1, queries.size(2)}).permute({1, 2, 0, 3});
}

/// [num_tokens, num_kv_heads, head_dim] -> view [num_kv_heads, group, num_tokens, head_dim].
inline at::Tensor group_keys(const at::Tensor& keys, int64_t group) {
  return keys.transpose(0, 1).unsqueeze(1).expand({-1, group, -1, -1});
}

}  // namespace prepack
