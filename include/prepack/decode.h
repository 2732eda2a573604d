#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/run_stats.h"
#include "prepack/sampler.h"
#include "prepack/token.h"

namespace prepack {

enum class FinishReason {
  kStop,    // an EOS id, or the observer asked for it
  kLength,  // the allowed number of tokens
};

/// "stop" or "length".
std::string_view to_string(FinishReason reason);

/// What one sequence may generate.
struct DecodeRequest {
  Sampler sampler;
  int64_t max_new_tokens = 0;          // at least 1
  std::vector<TokenId> stop_ids = {};  // generation ends at any of these, which is not kept
};

struct DecodedSequence {
  TokenIds token_ids;  // without the EOS id that ended it
  FinishReason finish_reason = FinishReason::kLength;
};

/// Called for every token as soon as it is drawn; the sequence ends if it returns false. Not called
/// for stop ids.
using TokenObserver = std::function<bool(int64_t sequence, TokenId token)>;

/// Runs the final tokens that a prefill has left to the first decode step, so that the state holds
/// every prompt token and the logits. Does nothing where there are none.
/// @throws OutOfMemory where activations do not fit; the state is as it was then
/// Ref: Prepacking (arXiv:2404.09529), section 3
void decode_final_tokens(const Model& model, DecodeState& state);

/// The standard decode loop: one token per sequence and step, each attending to its own cache row;
/// padded to the longest where the cache is. A finished sequence leaves the batch; where rows are
/// padded, the last one moves to its row.
/// @param state     from any prefill; each row needs slots for the prompt and max_new_tokens - 1
/// @param requests  one per row of `state`
/// @param stats     if given, decode_s and the counts are added to it, and to ttft_s the time until
///                  the first token of every sequence is drawn
/// @throws InvalidArgument if the cache is too short or the numbers of rows and requests differ
/// @throws OutOfMemory where activations do not fit
/// @return one per row, in the order of `state`
std::vector<DecodedSequence> decode(const Model& model, DecodeState state,
                                    std::span<DecodeRequest> requests,
                                    const TokenObserver& observer = {}, RunStats* stats = nullptr);

/// Draws the next token of each row: the first step of `decode`.
/// @param logits    [num_rows, vocab_size] float32; may be changed
/// @param samplers  one per row
TokenIds sample_rows(at::Tensor& logits, std::span<Sampler* const> samplers);

}  // namespace prepack
