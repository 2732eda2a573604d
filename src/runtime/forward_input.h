#pragma once

#include "prepack/kv_cache.h"
#include "prepack/model.h"
#include "prepack/packed_batch.h"
#include "prepack/prefill.h"

namespace prepack {

/// How a method lays out the prompts of one forward.
BatchLayout layout_for(PrefillMethod method);

/// Adds the keys of a sequence that attends to the first `num_keys` positions of a row.
void add_row_keys(const KvCache& cache, int64_t row, int64_t num_keys, VarlenAttention& spec);

/// The packed forward of a batch, on the CPU yet.
/// @param num_following  as below
ForwardInput host_forward_input(const PackedBatch& batch, const KvCache& cache,
                                int64_t num_following);

/// The forward of a batch that was laid out for `method`: every prompt's keys and values go to its
/// own row of the cache. Without `output_tokens`.
/// @param num_following  tokens of each prompt that a later forward computes
ForwardInput forward_input(PrefillMethod method, const PackedBatch& batch, const KvCache& cache,
                           at::Device device, int64_t num_following = 0);

}  // namespace prepack
