#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/decode.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/run_stats.h"
#include "prepack/sampler.h"
#include "prepack/token.h"
#include "prepack/tokenizer.h"

namespace prepack {

/// One prompt and what is wanted of it.
struct GenerationRequest {
  TokenIds prompt_ids;
  int64_t max_new_tokens = 128;  // fewer if the model's max_position_embeddings is reached first
  SamplingParams sampling = {};
  std::vector<std::string> stop = {};  // generation ends where any of these texts appears
  bool ignore_eos = false;             // go on after the model's EOS ids
  uint64_t random_stream = 0;          // the prompt's number in the whole job
};

struct GenerationResult {
  TokenIds token_ids;  // without the EOS id; with the tokens that spell a stop text
  std::string text;    // that follows the prompt's, up to the stop text, which is left out
  FinishReason finish_reason = FinishReason::kLength;
};

/// How many requests become text.
struct GenerationOptions {
  PrefillOptions prefill = {};
  int64_t batch_size = 0;  // sequences that are decoded together at most; 0: all
  bool refills = true;     // as some of a batch finish, the next requests take their places, where
                           // the prefill is packed and shares no beginnings, and computes final
                           // tokens; or else a batch begins when the one before is finished
};

/// Called with new text of a sequence: whole UTF-8 characters that no longer can be part of a stop
/// text. The pieces of a sequence add up to its `text`.
using TextObserver = std::function<void(int64_t sequence, std::string_view text)>;

/// Called with the result of a sequence as soon as it is finished; where no others may join its
/// batch, when all of that are.
using ResultObserver = std::function<void(int64_t sequence, const GenerationResult& result)>;

/// Who is told of requests by their numbers while they are generated.
struct GenerationObservers {
  TextObserver on_text = {};
  ResultObserver on_result = {};
};

/// Slots of each cache row that these requests need: those of the longest.
int64_t cache_capacity(const ModelConfig& config, std::span<const GenerationRequest> requests);

/// Slots that all of these requests may write.
int64_t num_cache_slots(const ModelConfig& config, std::span<const GenerationRequest> requests);

/// The most slots that so many of these requests in a row may write, wherever they begin.
/// @param batch_size  at least 1
int64_t num_cache_slots(const ModelConfig& config, std::span<const GenerationRequest> requests,
                        int64_t batch_size);

/// Prefills the requests in batches, decodes them, and turns the tokens into text. Where memory
/// runs out, those that are not finished are computed anew in batches half as large, and so on,
/// unless text of one of them was observed: `RunStats::num_splits` tells. No text is observed
/// twice.
/// @param stats  if given, times and counts are added to it
/// @throws InvalidArgument naming the first defective request (counted from 0), and for options that
///         the prefill does not have
/// @throws OutOfMemory where a request does not fit alone, or memory runs out later
/// @return one per request, in the caller's order
std::vector<GenerationResult> generate(const Model& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests,
                                       const GenerationOptions& options = {},
                                       const GenerationObservers& observers = {},
                                       RunStats* stats = nullptr);

}  // namespace prepack
