#include "prepack/decode.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/own_errors.h"
#include "base/profile.h"
#include "base/stopwatch.h"
#include "cuda/cuda_half.h"
#include "prepack/error.h"
#include "runtime/decode_batch.h"
#include "runtime/forward_graphs.h"

namespace prepack {
namespace {

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

namespace {

/// All of a state, each in the row of its number.
/// @param requests  none, or one per sequence
std::vector<DecodingSequence> sequences_of(const DecodeState& state,
                                           std::span<DecodeRequest> requests) {
  std::vector<DecodingSequence> sequences;
  for (int64_t i = 0; i < std::ssize(state.lengths); ++i) {
    sequences.push_back({.number = i,
                         .row = i,
                         .length = state.lengths[i],
                         .request = requests.empty() ? nullptr : &requests[i]});
  }
  return sequences;
}

}  // namespace

void decode_final_tokens(const Model& model, DecodeState& state) {
  if (state.final_tokens.empty()) return;
  with_own_errors([&] {
    state.logits = compute_step(model, state.final_tokens, sequences_of(state, {}), state.cache,
                                /*graphs=*/nullptr);
  });
  for (auto& length : state.lengths) ++length;
  state.final_tokens.clear();
}

namespace {

std::vector<DecodedSequence> run_decode(const Model& model, DecodeState& state,
                                        std::span<DecodeRequest> requests,
                                        const TokenObserver& observer, RunStats* stats) {
  check_requests(state, requests);
  std::vector<DecodedSequence> decoded(requests.size());
  if (requests.empty()) return decoded;
  Stopwatch stopwatch;
  RunStats run;
  decode_final_tokens(model, state);
  const auto graphs = state.uses_graphs ? make_forward_graphs(model, state.cache) : nullptr;
  DecodeBatch batch(
      model, state.cache, graphs.get(), observer,
      [&](int64_t sequence, DecodedSequence finished) { decoded[sequence] = std::move(finished); });
  batch.join(sequences_of(state, requests), std::move(state.logits));
  run.ttft_s = stopwatch.seconds();
  stopwatch = {};
  for (run.decode_steps = 1; batch.size() > 0; ++run.decode_steps) batch.step();
  run.decode_s = stopwatch.seconds();
  for (const auto& sequence : decoded) run.generated_tokens += std::ssize(sequence.token_ids);
  if (graphs != nullptr) run += graphs->stats();
  if (stats != nullptr) *stats += run;
  return decoded;
}

}  // namespace

std::vector<DecodedSequence> decode(const Model& model, DecodeState state,
                                    std::span<DecodeRequest> requests,
                                    const TokenObserver& observer, RunStats* stats) {
  return with_own_errors([&] { return run_decode(model, state, requests, observer, stats); });
}

}  // namespace prepack
