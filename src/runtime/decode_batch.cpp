#include "runtime/decode_batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <utility>

#include "base/upload.h"
#include "runtime/forward_arrays.h"
#include "runtime/forward_input.h"

namespace prepack {
namespace {

/// Whether a step reads each row to its own end, wherever the row lies; or else the first rows, all
/// as far as the longest.
bool reads_own_rows(const KvCache& cache) {
  const auto& keys = cache.keys(0);
  return cache.memory() == CacheMemory::kExact &&
         has_varlen_kernel(keys.device(), keys.scalar_type(), keys.size(2));
}

/// Each new token attends to its own row, whose length is its position.
VarlenAttention attend_to_own_rows(std::span<const DecodingSequence> sequences,
                                   const KvCache& cache) {
  VarlenAttention spec{.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
  for (const auto& sequence : sequences) {
    add_row_keys(cache, sequence.row, sequence.length + 1, spec);
    spec.cu_seqlens.push_back(spec.cu_seqlens.back() + 1);
  }
  return spec;
}

/// As in ordinary batching: all rows as far as the longest, under a mask.
/// @param num_slots  of the longest row
CacheAttention attend_to_padded_rows(int64_t num_rows, int64_t num_slots,
                                     const at::Tensor& positions) {
  const auto slot_index = at::arange(num_slots, positions.options());
  const auto mask = slot_index.unsqueeze(0).le(positions.unsqueeze(1));
  return {num_rows, num_slots, mask.unsqueeze(1).unsqueeze(1)};
}

/// The forward that feeds one new token to each sequence, at the slot behind its last token; on the
/// CPU yet, and without attention.
ForwardInput step_input(const TokenIds& tokens, std::span<const DecodingSequence> sequences,
                        const KvCache& cache) {
  std::vector<int64_t> ids(tokens.begin(), tokens.end());
  std::vector<int64_t> positions;
  std::vector<int64_t> slots;
  std::vector<int64_t> sequence_lens;
  for (const auto& sequence : sequences) {
    positions.push_back(sequence.length);
    slots.push_back(cache.slot(sequence.row, sequence.length));
    sequence_lens.push_back(sequence.length + 1);
  }
  return {
      .input_ids = at::tensor(ids, at::kLong),
      .position_ids = at::tensor(positions, at::kLong),
      .attention = {},
      .cache_slots = {.tokens = {}, .slots = at::tensor(slots, at::kLong)},
      .sequence_lens = std::move(sequence_lens),
  };
}

}  // namespace

at::Tensor compute_step(const Model& model, const TokenIds& tokens,
                        std::span<const DecodingSequence> sequences, KvCache& cache,
                        ForwardGraphs* graphs) {
  auto input = step_input(tokens, sequences, cache);
  if (reads_own_rows(cache)) {
    input.attention = attend_to_own_rows(sequences, cache);
    if (graphs != nullptr) return graphs->compute(input);
    input = to_device(input, model.device());
  } else {
    const auto arrays =
        upload({input.input_ids, input.position_ids, input.cache_slots.slots}, model.device());
    input.input_ids = arrays[0];
    input.position_ids = arrays[1];
    input.cache_slots.slots = arrays[2];
    const auto longest = std::ranges::max_element(sequences, {}, &DecodingSequence::length);
    input.attention =
        attend_to_padded_rows(std::ssize(sequences), longest->length + 1, input.position_ids);
  }
  return model.compute_logits(model.forward(input, cache));
}

void DecodeBatch::join(std::vector<DecodingSequence> sequences, at::Tensor logits) {
  const size_t first = active_.size();
  std::ranges::move(sequences, std::back_inserter(active_));
  draw(std::move(logits), first);
}

void DecodeBatch::step() {
  auto logits = compute_step(model_, next_tokens_, active_, cache_, graphs_);
  for (auto& sequence : active_) ++sequence.length;
  draw(std::move(logits), 0);
}

/// @param logits  of the sequences from `first` on
void DecodeBatch::draw(at::Tensor logits, size_t first) {
  std::vector<Sampler*> samplers;
  for (size_t i = first; i < active_.size(); ++i) {
    samplers.push_back(&active_[i].request->sampler);
  }
  const auto drawn = sample_rows(logits, samplers);
  next_tokens_.resize(first);
  next_tokens_.insert(next_tokens_.end(), drawn.begin(), drawn.end());
  // From the last to the first, so that the one that moves into a gap was looked at before.
  for (size_t place = active_.size(); place-- > first;) {
    if (!accept(active_[place], next_tokens_[place])) remove(place);
  }
}

/// Takes the drawn token into the sequence; returns whether the sequence goes on.
bool DecodeBatch::accept(DecodingSequence& sequence, TokenId token) const {
  const auto& request = *sequence.request;
  auto& decoded = sequence.decoded;
  if (std::ranges::find(request.stop_ids, token) != request.stop_ids.end()) {
    decoded.finish_reason = FinishReason::kStop;
    return false;
  }
  decoded.token_ids.push_back(token);
  if (on_token_ && !on_token_(sequence.number, token)) {
    decoded.finish_reason = FinishReason::kStop;
    return false;
  }
  return std::ssize(decoded.token_ids) < request.max_new_tokens;
}

/// The last sequence takes the place of the one that leaves, and where the first rows are read, its
/// row.
void DecodeBatch::remove(size_t place) {
  auto finished = std::move(active_[place]);
  int64_t free_row = finished.row;
  if (place + 1 < active_.size()) {
    auto& last = active_.back();
    if (!reads_own_rows(cache_)) {
      cache_.copy_row(last.row, finished.row, last.length);
      std::swap(last.row, free_row);
    }
    active_[place] = std::move(last);
    next_tokens_[place] = next_tokens_.back();
  }
  cache_.release_row(free_row);
  active_.pop_back();
  next_tokens_.pop_back();
  on_finished_(finished.number, std::move(finished.decoded));
}

}  // namespace prepack
