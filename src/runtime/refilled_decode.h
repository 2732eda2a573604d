#pragma once

#include <cstdint>
#include <span>

#include "prepack/decode.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/run_stats.h"
#include "runtime/decode_batch.h"

namespace prepack {

/// Whether sequences of such a prefill can join others that are decoded already: packed ones do,
/// whose cache rows are their own, with logits, and nothing in each other's.
bool can_refill(const Model& model, const PrefillOptions& options);

/// Prefills and decodes prompts in their order, at most `batch_size` at a time: when a quarter of
/// them have left, those that follow take their places, so that steps stay worth their while: what
/// a step reads, all weights, is the same for one sequence as for many. A prompt that finds no room
/// in the cache waits for it.
/// @param prompts      without defects
/// @param requests     one per prompt
/// @param options      as can_refill wants them
/// @param batch_size   at least 1
/// @param cache_slots  no fewer than any of the prompts needs: its tokens and max_new_tokens - 1
/// @param stats        times and counts are added to it, of prompts and tokens those of sequences
///                     that were finished
/// @throws OutOfMemory where caches or activations do not fit; some sequences may be finished then
void decode_with_refills(const Model& model, std::span<const TokenIds> prompts,
                         std::span<DecodeRequest> requests, const PrefillOptions& options,
                         int64_t batch_size, int64_t cache_slots, const TokenObserver& on_token,
                         const SequenceObserver& on_finished, RunStats& stats);

}  // namespace prepack
