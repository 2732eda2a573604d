#include "prepack/decode.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/profile.h"
#include "base/stopwatch.h"
#include "prepack/error.h"

namespace prepack {
namespace {

/// The sequences that are still being generated, one cache row each.
struct ActiveRows {
  std::vector<int64_t> sequences;  // which sequence each row belongs to
  std::vector<int64_t> lengths;    // tokens in each cache row

  int64_t size() const { return static_cast<int64_t>(sequences.size()); }

  /// Drops a row; the last one moves into its place.
  void remove(int64_t row, KvCache& cache) {
    const int64_t last = size() - 1;
    if (row != last) {
      cache.copy_row(last, row, lengths[last]);
      sequences[row] = sequences[last];
      lengths[row] = lengths[last];
    }
    cache.release_row(last);
    sequences.pop_back();
    lengths.pop_back();
  }
};

/// Each new token attends to its own row, whose length is its position.
VarlenAttention attend_to_own_rows(const std::vector<int64_t>& lengths, int64_t capacity) {
  VarlenAttention spec{.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
  for (int64_t length : lengths) {
    spec.first_keys.push_back(std::ssize(spec.first_keys) * capacity);
    spec.num_keys.push_back(length + 1);
    spec.cu_seqlens.push_back(static_cast<int32_t>(spec.num_keys.size()));
  }
  return spec;
}

/// As in ordinary batching: all rows as far as the longest, under a mask.
CacheAttention attend_to_padded_rows(const std::vector<int64_t>& lengths,
                                     const at::Tensor& positions) {
  const int64_t num_slots = *std::ranges::max_element(lengths) + 1;
  const auto slot_index = at::arange(num_slots, positions.options());
  const auto mask = slot_index.unsqueeze(0).le(positions.unsqueeze(1));
  return {std::ssize(lengths), num_slots, mask.unsqueeze(1).unsqueeze(1)};
}

/// The forward that feeds one new token to each active row, at the slot behind its last token.
ForwardInput step_input(const std::vector<int64_t>& new_tokens, const std::vector<int64_t>& lengths,
                        const KvCache& cache, at::Device device) {
  std::vector<int64_t> slots;
  std::vector<int64_t> sequence_lens;
  for (int64_t length : lengths) {
    slots.push_back(std::ssize(slots) * cache.capacity() + length);
    sequence_lens.push_back(length + 1);
  }
  const auto positions = at::tensor(lengths, at::kLong).to(device);
  const auto attention = [&]() -> AttentionSpec {
    // Off the CPU there is no kernel yet that reads rows of any lengths at once.
    const bool is_padded = cache.memory() == CacheMemory::kPadded || !device.is_cpu();
    if (is_padded) return attend_to_padded_rows(lengths, positions);
    return attend_to_own_rows(lengths, cache.capacity());
  };
  return {
      .input_ids = at::tensor(new_tokens, at::kLong).to(device),
      .position_ids = positions,
      .attention = attention(),
      .cache_slots = {.tokens = {}, .slots = at::tensor(slots, at::kLong).to(device)},
      .sequence_lens = std::move(sequence_lens),
  };
}

void check_requests(const DecodeState& state, std::span<DecodeRequest> requests) {
  if (requests.size() != state.lengths.size()) {
    throw InvalidArgument(
        fmt::format("decode: {} requests for {} sequences", requests.size(), state.lengths.size()));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const int64_t max_new_tokens = requests[i].max_new_tokens;
    if (max_new_tokens < 1) {
      throw InvalidArgument(fmt::format("sequence {}: max_new_tokens: expected at least 1, got {}",
                                        i, max_new_tokens));
    }
    // The last token drawn is never fed back, so it needs no slot.
    const int64_t needed = state.prompt_len(static_cast<int64_t>(i)) + max_new_tokens - 1;
    if (needed > state.cache.capacity()) {
      throw InvalidArgument(fmt::format("sequence {}: {} cache slots needed, {} there", i, needed,
                                        state.cache.capacity()));
    }
  }
}

/// Takes the drawn token into the sequence; returns whether the sequence goes on.
bool accept(int64_t sequence, TokenId token, const DecodeRequest& request,
            const TokenObserver& observer, DecodedSequence& decoded) {
  if (std::ranges::find(request.stop_ids, token) != request.stop_ids.end()) {
    decoded.finish_reason = FinishReason::kStop;
    return false;
  }
  decoded.token_ids.push_back(token);
  if (observer && !observer(sequence, token)) {
    decoded.finish_reason = FinishReason::kStop;
    return false;
  }
  return static_cast<int64_t>(decoded.token_ids.size()) < request.max_new_tokens;
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

TokenIds sample_rows(at::Tensor& logits, std::span<Sampler* const> samplers) {
  const ProfiledPart part(Part::kSampling);
  logits = logits.cpu().contiguous();
  const auto num_rows = static_cast<int64_t>(samplers.size());
  const int64_t vocab_size = logits.size(1);
  auto* data = logits.data_ptr<float>();
  TokenIds tokens(num_rows);
  at::parallel_for(0, num_rows, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      tokens[row] =
          samplers[row]->sample({data + row * vocab_size, static_cast<size_t>(vocab_size)});
    }
  });
  return tokens;
}

void decode_final_tokens(const Model& model, DecodeState& state) {
  if (state.final_tokens.empty()) return;
  const auto input = step_input({state.final_tokens.begin(), state.final_tokens.end()},
                                state.lengths, state.cache, model.device());
  state.logits = model.compute_logits(model.forward(input, state.cache));
  for (auto& length : state.lengths) ++length;
  state.final_tokens.clear();
}

std::vector<DecodedSequence> decode(const Model& model, DecodeState state,
                                    std::span<DecodeRequest> requests,
                                    const TokenObserver& observer, RunStats* stats) {
  check_requests(state, requests);
  Stopwatch stopwatch;
  RunStats run;
  decode_final_tokens(model, state);
  std::vector<DecodedSequence> decoded(requests.size());
  ActiveRows active{.sequences = std::vector<int64_t>(requests.size()), .lengths = state.lengths};
  std::iota(active.sequences.begin(), active.sequences.end(), 0);
  while (active.size() > 0) {
    std::vector<Sampler*> samplers;
    for (int64_t sequence : active.sequences) samplers.push_back(&requests[sequence].sampler);
    const auto drawn = sample_rows(state.logits, samplers);
    if (run.decode_steps == 0) {
      run.ttft_s = stopwatch.seconds();
      stopwatch = {};
    }

    std::vector<int64_t> new_tokens(drawn.begin(), drawn.end());
    // From the last row to the first, so that the row that moves into a gap was looked at before.
    for (int64_t row = active.size() - 1; row >= 0; --row) {
      const int64_t sequence = active.sequences[row];
      if (accept(sequence, drawn[row], requests[sequence], observer, decoded[sequence])) continue;
      active.remove(row, state.cache);
      new_tokens[row] = new_tokens.back();
      new_tokens.pop_back();
    }
    ++run.decode_steps;
    if (active.size() == 0) break;

    const auto input = step_input(new_tokens, active.lengths, state.cache, model.device());
    state.logits = model.compute_logits(model.forward(input, state.cache));
    for (auto& length : active.lengths) ++length;
  }
  if (stats != nullptr) {
    stats->ttft_s += run.ttft_s;
    stats->decode_s += stopwatch.seconds();
    stats->decode_steps += run.decode_steps;
    for (const auto& sequence : decoded) {
      stats->generated_tokens += static_cast<int64_t>(sequence.token_ids.size());
    }
  }
  return decoded;
}

}  // namespace prepack
