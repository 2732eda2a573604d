#include "prepack/decode.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/own_errors.h"
#include "base/profile.h"
#include "base/stopwatch.h"
#include "base/upload.h"
#include "cuda/cuda_half.h"
#include "prepack/error.h"
#include "runtime/forward_arrays.h"
#include "runtime/forward_graphs.h"
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

/// The sequences that are still being generated, one cache row each.
struct ActiveRows {
  std::vector<int64_t> sequences;  // by their numbers
  std::vector<int64_t> lengths;    // tokens of each in the cache
  std::vector<int64_t> rows;       // of the cache: each sequence's

  /// All of a state, each in the row of its number.
  explicit ActiveRows(const std::vector<int64_t>& all_lengths)
      : sequences(all_lengths.size()), lengths(all_lengths) {
    std::iota(sequences.begin(), sequences.end(), 0);
    rows = sequences;
  }

  int64_t size() const { return static_cast<int64_t>(sequences.size()); }

  /// Drops a sequence; the last one takes its place, and where the first rows are read, its row.
  void remove(int64_t place, KvCache& cache) {
    const int64_t last = size() - 1;
    if (place != last) {
      if (reads_own_rows(cache)) {
        std::swap(rows[place], rows[last]);
      } else {
        cache.copy_row(rows[last], rows[place], lengths[last]);
      }
      sequences[place] = sequences[last];
      lengths[place] = lengths[last];
    }
    cache.release_row(rows[last]);
    sequences.pop_back();
    lengths.pop_back();
    rows.pop_back();
  }
};

/// Each new token attends to its own row, whose length is its position.
VarlenAttention attend_to_own_rows(const ActiveRows& active, const KvCache& cache) {
  VarlenAttention spec{.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
  for (int64_t i = 0; i < active.size(); ++i) {
    add_row_keys(cache, active.rows[i], active.lengths[i] + 1, spec);
    spec.cu_seqlens.push_back(static_cast<int32_t>(i + 1));
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

/// The forward that feeds one new token to each active row, at the slot behind its last token; on
/// the CPU yet, and without attention.
ForwardInput step_input(const std::vector<int64_t>& new_tokens, const ActiveRows& active,
                        const KvCache& cache) {
  std::vector<int64_t> slots;
  std::vector<int64_t> sequence_lens;
  for (int64_t i = 0; i < active.size(); ++i) {
    slots.push_back(cache.slot(active.rows[i], active.lengths[i]));
    sequence_lens.push_back(active.lengths[i] + 1);
  }
  return {
      .input_ids = at::tensor(new_tokens, at::kLong),
      .position_ids = at::tensor(active.lengths, at::kLong),
      .attention = {},
      .cache_slots = {.tokens = {}, .slots = at::tensor(slots, at::kLong)},
      .sequence_lens = std::move(sequence_lens),
  };
}

/// Logits of the tokens after the new ones.
/// @param graphs  null: none are used
at::Tensor compute_step(const Model& model, const std::vector<int64_t>& new_tokens,
                        const ActiveRows& active, ForwardGraphs* graphs, KvCache& cache) {
  auto input = step_input(new_tokens, active, cache);
  if (reads_own_rows(cache)) {
    input.attention = attend_to_own_rows(active, cache);
    if (graphs != nullptr) return graphs->compute(input);
    input = to_device(input, model.device());
  } else {
    const auto arrays =
        upload({input.input_ids, input.position_ids, input.cache_slots.slots}, model.device());
    input.input_ids = arrays[0];
    input.position_ids = arrays[1];
    input.cache_slots.slots = arrays[2];
    input.attention = attend_to_padded_rows(active.lengths, input.position_ids);
  }
  return model.compute_logits(model.forward(input, cache));
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
    const auto needed = static_cast<uint64_t>(state.prompt_len(static_cast<int64_t>(i))) +
                        static_cast<uint64_t>(max_new_tokens - 1);
    const int64_t there = state.cache.row_capacity(static_cast<int64_t>(i));
    if (needed > static_cast<uint64_t>(there)) {
      throw InvalidArgument(
          fmt::format("sequence {}: {} cache slots needed, {} there", i, needed, there));
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

namespace {

/// Draws on the device, with the random numbers that the samplers would have used.
TokenIds sample_on_device(const at::Tensor& logits, std::span<Sampler* const> samplers) {
  std::vector<cuda::RowSampling> rows;
  for (auto* sampler : samplers) {
    const auto& params = sampler->params();
    rows.push_back({.uniform = sampler->next_random(),
                    .temperature = params.temperature,
                    .top_p = params.top_p,
                    .min_p = params.min_p,
                    .top_k = static_cast<int32_t>(std::min(params.top_k, logits.size(1)))});
  }
  TokenIds tokens;
  for (int64_t token : cuda_half().sample(logits, rows)) {
    if (token < 0) throw Error("the model's logits are not finite numbers");
    tokens.push_back(static_cast<TokenId>(token));
  }
  return tokens;
}

}  // namespace

TokenIds sample_rows(at::Tensor& logits, std::span<Sampler* const> samplers) {
  const ProfiledPart part(Part::kSampling);
  // The penalty is for tokens that the host knows of.
  const auto has_penalty = [](const auto* sampler) {
    return sampler->params().repetition_penalty != 1;
  };
  if (logits.is_cuda() && std::ranges::none_of(samplers, has_penalty)) {
    return sample_on_device(logits, samplers);
  }
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
  with_own_errors([&] {
    state.logits = compute_step(model, {state.final_tokens.begin(), state.final_tokens.end()},
                                ActiveRows(state.lengths), /*graphs=*/nullptr, state.cache);
  });
  for (auto& length : state.lengths) ++length;
  state.final_tokens.clear();
}

namespace {

std::vector<DecodedSequence> run_decode(const Model& model, DecodeState& state,
                                        std::span<DecodeRequest> requests,
                                        const TokenObserver& observer, RunStats* stats) {
  check_requests(state, requests);
  Stopwatch stopwatch;
  RunStats run;
  decode_final_tokens(model, state);
  std::vector<DecodedSequence> decoded(requests.size());
  ActiveRows active(state.lengths);
  const auto graphs = state.uses_graphs ? make_forward_graphs(model, state.cache) : nullptr;
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

    state.logits = at::Tensor();  // freed before the next ones are made
    state.logits = compute_step(model, new_tokens, active, graphs.get(), state.cache);
    for (auto& length : active.lengths) ++length;
  }
  if (stats != nullptr) {
    stats->ttft_s += run.ttft_s;
    stats->decode_s += stopwatch.seconds();
    stats->decode_steps += run.decode_steps;
    if (graphs != nullptr) *stats += graphs->stats();
    for (const auto& sequence : decoded) {
      stats->generated_tokens += static_cast<int64_t>(sequence.token_ids.size());
    }
  }
  return decoded;
}

}  // namespace

std::vector<DecodedSequence> decode(const Model& model, DecodeState state,
                                    std::span<DecodeRequest> requests,
                                    const TokenObserver& observer, RunStats* stats) {
  return with_own_errors([&] { return run_decode(model, state, requests, observer, stats); });
}

}  // namespace prepack
