#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "prepack/attention.h"

namespace prepack::testing {

/// visible[i]: the keys that query i attends to.
using VisibleKeys = std::vector<std::vector<int64_t>>;

/// Attention by its definition, in float64, one query at a time.
/// @param queries       [num_queries, num_heads, head_dim]
/// @param keys, values  [num_keys, num_kv_heads, head_dim]
/// @return              [num_queries, num_heads, head_dim] float64
at::Tensor naive_attention(const at::Tensor& queries, const at::Tensor& keys,
                           const at::Tensor& values, const VisibleKeys& visible);

/// Where each key of a sequence lies.
std::vector<int64_t> key_slots(const VarlenAttention& spec, size_t sequence);

/// What a spec means, its window included.
VisibleKeys visible_keys(const VarlenAttention& spec);

}  // namespace prepack::testing
