#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/rope.h"
#include "prepack/kv_cache.h"

namespace prepack {

/// Turns queries and keys by their positions, in place, and writes keys and values to a layer of
/// the cache; on a GPU in one kernel.
/// @param heads  [num_tokens, num_query_heads + 2 * num_kv_heads, head_dim]: queries, keys, values
/// @param rope   null: nothing is turned
void turn_and_store(const at::Tensor& heads, int64_t num_query_heads, const RopeTable* rope,
                    KvCache& cache, int64_t layer, const CacheSlots& where);

}  // namespace prepack
