#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "prepack/kv_cache.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/run_stats.h"
#include "runtime/forward_graphs.h"

namespace prepack {

/// Prefill, as `prefill` does it, into rows of a cache that holds other sequences too. Final tokens
/// are computed with the others, and no beginnings are shared.
/// @param prompts  without defects
/// @param rows     one per prompt, each with room for it
/// @param graphs   of this cache; null: none are used
/// @param stats    prefill_s and the counts of what is computed are added to it
/// @return         next-token logits, [num_prompts, vocab_size] float32
at::Tensor prefill_rows(const Model& model, std::span<const TokenIds> prompts,
                        const PrefillOptions& options, std::vector<int64_t> rows, KvCache& cache,
                        ForwardGraphs* graphs, RunStats& stats);

}  // namespace prepack
