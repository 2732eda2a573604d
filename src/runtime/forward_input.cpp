#include "runtime/forward_input.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

#include "base/upload.h"
#include "runtime/forward_arrays.h"

namespace prepack {
namespace {

/// Every segment attends to its row of the cache, where its own keys have just been written.
VarlenAttention varlen_attention(const PackedBatch& batch, const KvCache& cache) {
  VarlenAttention spec{.cu_seqlens = batch.cu_seqlens, .first_keys = {}, .num_keys = {}};
  for (const auto& segment : batch.segments) {
    add_row_keys(cache, segment.sequence, segment.first_position + segment.length, spec);
  }
  return spec;
}

/// A dense form's.
AttentionSpec row_attention(const PackedBatch& batch, at::Device device) {
  if (batch.has_whole_rows()) return CausalAttention{batch.num_rows()};
  return MaskedAttention{independent_mask(batch.segment_ids.to(device))};
}

/// Where each prompt token of the batch belongs in the cache, computed once for all layers. On the
/// CPU yet; `tokens` undefined where there is no padding.
CacheSlots unpack_slots(const PackedBatch& batch, const KvCache& cache) {
  const int64_t num_tokens = batch.num_prompt_tokens();
  auto tokens = at::empty({num_tokens}, at::kLong);
  auto slots = at::empty({num_tokens}, at::kLong);
  auto* token = tokens.data_ptr<int64_t>();
  auto* slot = slots.data_ptr<int64_t>();
  for (const auto& segment : batch.segments) {
    const int64_t first_slot = cache.slot(segment.sequence, segment.first_position);
    for (int64_t i = 0; i < segment.length; ++i) {
      *token++ = batch.first_token(segment) + i;
      *slot++ = first_slot + i;
    }
  }
  const bool has_padding = num_tokens != batch.input_ids.numel();
  return {has_padding ? tokens : at::Tensor(), slots};
}

/// Tokens of the sequence that each token of the batch belongs to; 1 for padding.
std::vector<int64_t> sequence_lens(const PackedBatch& batch, int64_t num_following) {
  std::vector<int64_t> of_tokens(batch.input_ids.numel(), 1);
  for (const auto& segment : batch.segments) {
    std::fill_n(of_tokens.begin() + batch.first_token(segment), segment.length,
                segment.first_position + segment.length + num_following);
  }
  return of_tokens;
}

}  // namespace

BatchLayout layout_for(PrefillMethod method) {
  switch (method) {
    case PrefillMethod::kPacked:
      return BatchLayout::kFlat;
    case PrefillMethod::kPackedRows:
      return BatchLayout::kRows;
    case PrefillMethod::kPadded:
      break;
  }
  return BatchLayout::kLeftPaddedRows;
}

void add_row_keys(const KvCache& cache, int64_t row, int64_t num_keys, VarlenAttention& spec) {
  auto runs = cache.slot_runs(row, num_keys);
  spec.num_keys.push_back(num_keys);
  spec.first_keys.push_back(runs.back().first_slot);
  runs.pop_back();
  if (runs.empty()) return;
  spec.beginnings.resize(spec.num_keys.size());
  spec.beginnings.back() = std::move(runs);
}

ForwardInput host_forward_input(const PackedBatch& batch, const KvCache& cache,
                                int64_t num_following) {
  return {
      .input_ids = batch.input_ids.flatten(),
      .position_ids = batch.position_ids.flatten(),
      .attention = varlen_attention(batch, cache),
      .cache_slots = unpack_slots(batch, cache),
      .sequence_lens = sequence_lens(batch, num_following),
  };
}

ForwardInput forward_input(PrefillMethod method, const PackedBatch& batch, const KvCache& cache,
                           at::Device device, int64_t num_following) {
  if (method == PrefillMethod::kPacked) {
    return to_device(host_forward_input(batch, cache, num_following), device);
  }
  const auto where = unpack_slots(batch, cache);
  return {
      .input_ids = upload(batch.input_ids.flatten(), device),
      .position_ids = upload(batch.position_ids.flatten(), device),
      .attention = row_attention(batch, device),
      .cache_slots = {.tokens =
                          where.tokens.defined() ? upload(where.tokens, device) : at::Tensor(),
                      .slots = upload(where.slots, device)},
      .sequence_lens = sequence_lens(batch, num_following),
  };
}

}  // namespace prepack
