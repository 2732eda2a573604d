#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/memory.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/token.h"
#include "prepack/tokenizer.h"

namespace prepack {

/// A sequence whose tokens from `first_scored` on are scored, each given all before it: in one
/// forward of all tokens but the last, whose length is the one that a RoPE type may depend on.
struct ScoreRequest {
  TokenIds tokens;           // at least one
  int64_t first_scored = 1;  // 1 to tokens.size(): before the first token there is nothing
};

struct Score {
  double log_likelihood = 0;  // of the scored tokens together; natural logarithm
  int64_t num_tokens = 0;     // that were scored
  bool is_greedy = true;      // whether greedy decoding would choose each of them
};

/// Says what is wrong with a request, if anything: see ScoreRequest, and all tokens but the last,
/// which is only scored, must be a prompt that the model takes.
std::optional<std::string> find_score_defect(const ModelConfig& config,
                                             const ScoreRequest& request);

/// Scores all sequences, packed into as few forwards as the token budget allows; logits are
/// computed a chunk of tokens at a time.
/// @param options  whose `shares_prefixes` and `final_token` do not apply: they must be defaults
/// @param on_progress  called after each forward with the sequences that are done
/// @return in the order of the requests
/// @throws InvalidArgument naming the first defective request (counted from 0)
/// @throws OutOfMemory where caches or activations of a forward do not fit
std::vector<Score> score(const Model& model, std::span<const ScoreRequest> requests,
                         const PrefillOptions& options = {},
                         const std::function<void(int64_t num_done)>& on_progress = {});

/// What decides the memory of `score`.
/// @param plan_lengths  tokens of each request but the last
BatchShape score_shape(const ModelConfig& config, std::span<const int64_t> plan_lengths,
                       const PrefillOptions& options);

/// exp(-log-likelihood / tokens) over all that was scored; NaN where that is nothing.
double perplexity(std::span<const Score> scores);

/// Cuts a long text into windows in which every token but the text's first is scored once. The
/// first window scores up to `context` tokens, each later one `stride` more, given the tokens
/// before them: as many as make `context` with the scored ones less one, so that at a stride of
/// `context` windows do not overlap but for the one token that the first prediction needs. The last
/// window is as long as the others, and scores what is left.
/// Ref: lm-evaluation-harness, get_rolling_token_windows with context_len = context - stride + 1
/// @param context  most tokens of one forward's sequence, at least 1
/// @param stride   1 to `context`
/// @throws InvalidArgument for other numbers, and for a text of fewer than two tokens
std::vector<ScoreRequest> score_windows(const TokenIds& text, int64_t context, int64_t stride);

/// A prompt and its continuation, of which the continuation is scored. ASCII spaces at the end of
/// the prompt are moved to the continuation. Both are encoded together, and the prompt alone; what
/// comes in the whole past as many tokens as the prompt alone has is the continuation, and is given
/// the prompt's own tokens, also where a word ends in it that begins in the prompt. An empty prompt
/// becomes the model's BOS token, or its EOS where there is none.
/// Ref: lm-evaluation-harness, _encode_pair
/// @throws InvalidArgument where the continuation has no tokens, a text is not valid UTF-8, or an
///         empty prompt has no token to stand for it
ScoreRequest continuation_request(const Tokenizer& tokenizer, const ModelConfig& config,
                                  std::string_view prompt, std::string_view continuation,
                                  bool add_special_tokens = true);

}  // namespace prepack
