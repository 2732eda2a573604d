#include "prepack/score.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/max.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/own_errors.h"
#include "prepack/error.h"
#include "prepack/packed_batch.h"
#include "runtime/forward_input.h"

namespace prepack {
namespace {

/// Logits of a chunk of tokens: enough of them for fast products.
constexpr int64_t kChunkBytes = int64_t{64} << 20;

int64_t chunk_tokens(const ModelConfig& config) {
  return std::max<int64_t>(kChunkBytes / (config.vocab_size * static_cast<int64_t>(sizeof(float))),
                           1);
}

/// Predictions of one forward: the token in whose hidden state each is made, and what came.
struct Predictions {
  std::vector<int64_t> places;     // in the batch
  std::vector<int64_t> targets;    // token ids
  std::vector<int64_t> sequences;  // whose they are
};

Predictions find_predictions(std::span<const ScoreRequest> requests, const PackedBatch& batch) {
  Predictions found;
  for (const auto& segment : batch.segments) {
    const auto& request = requests[segment.sequence];
    for (auto i = request.first_scored; i < std::ssize(request.tokens); ++i) {
      found.places.push_back(batch.first_token(segment) + i - 1);
      found.targets.push_back(request.tokens[i]);
      found.sequences.push_back(segment.sequence);
    }
  }
  return found;
}

/// @param hidden  [num_tokens, hidden_size] of the whole forward
void add_scores(const Model& model, const at::Tensor& hidden, const Predictions& predictions,
                std::vector<Score>& scores) {
  const auto places = at::tensor(predictions.places, at::kLong).to(hidden.device());
  const auto targets = at::tensor(predictions.targets, at::kLong).to(hidden.device());
  const auto num_predictions = std::ssize(predictions.places);
  const int64_t step = chunk_tokens(model.config());
  for (int64_t first = 0; first < num_predictions; first += step) {
    const int64_t count = std::min(step, num_predictions - first);
    auto logits = model.compute_logits(hidden.index_select(0, places.narrow(0, first, count)));
    const auto target = targets.narrow(0, first, count).unsqueeze(1);
    const auto [largest, likeliest] = at::max(logits, 1, /*keepdim=*/true);
    if (!largest.isfinite().all().item<bool>()) {
      throw Error("the model's logits are not finite numbers");
    }
    // In place: a chunk's logits are large. What a target is below the largest is exact enough; the
    // sum over the vocabulary is near 1 or above.
    logits.sub_(largest);
    const auto above = logits.gather(1, target).to(at::kDouble);
    const auto log_sum = logits.exp_().sum({1}, /*keepdim=*/true).to(at::kDouble).log_();
    const auto log_likelihood = above.sub(log_sum).cpu();
    const auto is_greedy = likeliest.eq(target).cpu();
    for (int64_t i = 0; i < count; ++i) {
      auto& score = scores[predictions.sequences[first + i]];
      score.log_likelihood += log_likelihood.const_data_ptr<double>()[i];
      score.is_greedy = score.is_greedy && is_greedy.const_data_ptr<bool>()[i];
      ++score.num_tokens;
    }
  }
}

/// The sequences of one forward, numbered anew, so that its cache has rows for these alone.
struct ForwardPrompts {
  std::vector<TokenIds> prompts;           // without the last tokens
  std::vector<std::vector<int64_t>> bins;  // of these prompts
  std::vector<ScoreRequest> requests;
  std::vector<size_t> originals;  // whose they are among all requests
  std::vector<int64_t> row_lens;  // tokens of each
};

ForwardPrompts prompts_of_forward(std::span<const ScoreRequest> requests,
                                  std::span<const size_t> sequences, const PackingPlan& forward) {
  ForwardPrompts result;
  for (const auto& bin : forward.bins) {
    auto& local_bin = result.bins.emplace_back();
    for (int64_t index : bin) {
      const size_t original = sequences[index];
      const auto& request = requests[original];
      local_bin.push_back(std::ssize(result.prompts));
      // Nobody reads what comes after the last token.
      result.prompts.emplace_back(request.tokens.begin(), request.tokens.end() - 1);
      result.requests.push_back(request);
      result.originals.push_back(original);
      result.row_lens.push_back(std::ssize(request.tokens) - 1);
    }
  }
  return result;
}

void run_forward(const Model& model, PrefillMethod method, const ForwardPrompts& forward,
                 std::vector<Score>& scores) {
  KvCache cache(model.config(), forward.row_lens, model.dtype(), model.device());
  const auto batch = make_packed_batch(forward.prompts, forward.bins, layout_for(method));
  const auto hidden = model.forward(forward_input(method, batch, cache, model.device()), cache);
  std::vector<Score> own(forward.prompts.size());
  add_scores(model, hidden, find_predictions(forward.requests, batch), own);
  for (size_t i = 0; i < own.size(); ++i) scores[forward.originals[i]] = own[i];
}

}  // namespace

std::optional<std::string> find_score_defect(const ModelConfig& config,
                                             const ScoreRequest& request) {
  const auto& tokens = request.tokens;
  if (tokens.empty()) return "is empty";
  if (request.first_scored < 1 || request.first_scored > std::ssize(tokens)) {
    return fmt::format("has {} tokens, and is to be scored from token {} on, counted from 0",
                       tokens.size(), request.first_scored);
  }
  // The last is checked in the place of one that is computed.
  if (tokens.size() == 1) return find_prompt_defect(config, tokens);
  if (auto defect = find_prompt_defect(config, {tokens.begin(), tokens.end() - 1})) return defect;
  return find_prompt_defect(config, {tokens.back()});
}

std::vector<Score> score(const Model& model, std::span<const ScoreRequest> requests,
                         const PrefillOptions& options,
                         const std::function<void(int64_t num_done)>& on_progress) {
  const at::NoGradGuard no_grad;
  if (options.shares_prefixes || options.final_token != FinalToken::kPrefill) {
    throw InvalidArgument("score: neither shares prefixes nor leaves out final tokens");
  }
  std::vector<int64_t> lengths;
  std::vector<size_t> sequences;  // of which anything is scored
  for (size_t i = 0; i < requests.size(); ++i) {
    if (const auto defect = find_score_defect(model.config(), requests[i])) {
      throw InvalidArgument(fmt::format("sequence {} {}", i, *defect));
    }
    if (requests[i].first_scored == std::ssize(requests[i].tokens)) continue;
    sequences.push_back(i);
    lengths.push_back(std::ssize(requests[i].tokens) - 1);
    if (lengths.back() > options.token_budget) {  // named by its number among all
      throw InvalidArgument(fmt::format(
          "sequence {}: its first {} tokens are more than the token budget of {} for one forward",
          i, lengths.back(), options.token_budget));
    }
  }
  std::vector<Score> scores(requests.size());
  auto num_done = static_cast<int64_t>(requests.size() - sequences.size());
  for (const auto& forward : plan_prefill(lengths, options).forwards) {
    const auto prompts = prompts_of_forward(requests, sequences, forward);
    with_own_errors([&] { run_forward(model, options.method, prompts, scores); });
    num_done += std::ssize(prompts.prompts);
    if (on_progress) on_progress(num_done);
  }
  return scores;
}

BatchShape score_shape(const ModelConfig& config, std::span<const int64_t> plan_lengths,
                       const PrefillOptions& options) {
  BatchShape shape;
  if (plan_lengths.empty()) return shape;
  const auto plan = plan_prefill(plan_lengths, options);
  shape.max_forward_tokens = plan.max_forward_tokens;
  shape.max_mask_elements = plan.max_mask_elements;
  shape.max_row_len = plan.max_row_len;
  shape.num_scored = std::min(chunk_tokens(config), plan.max_forward_tokens);
  shape.num_tokens = std::reduce(plan_lengths.begin(), plan_lengths.end());
  for (const auto& forward : plan.forwards) {
    int64_t num_slots = 0;
    for (const auto& bin : forward.bins) {
      for (int64_t sequence : bin) num_slots += plan_lengths[sequence];
    }
    shape.cache_slots = std::max(shape.cache_slots, num_slots);
  }
  return shape;
}

double perplexity(std::span<const Score> scores) {
  double log_likelihood = 0;
  int64_t num_tokens = 0;
  for (const auto& score : scores) {
    log_likelihood += score.log_likelihood;
    num_tokens += score.num_tokens;
  }
  if (num_tokens == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::exp(-log_likelihood / static_cast<double>(num_tokens));
}

std::vector<ScoreRequest> score_windows(const TokenIds& text, int64_t context, int64_t stride) {
  if (context < 1)
    throw InvalidArgument(fmt::format("context: expected 1 or more, got {}", context));
  if (stride < 1 || stride > context) {
    throw InvalidArgument(
        fmt::format("stride: expected 1 to {} (the context), got {}", context, stride));
  }
  const int64_t size = std::ssize(text);
  if (size < 2) {
    throw InvalidArgument(
        fmt::format("a text of {} tokens has none to score: nothing comes before the first", size));
  }
  std::vector<ScoreRequest> windows;
  for (int64_t next = 1; next < size;) {
    const int64_t end = std::min(next + (windows.empty() ? context : stride), size);
    const int64_t begin = std::max<int64_t>(end - context - 1, 0);
    windows.push_back({{text.begin() + begin, text.begin() + end}, next - begin});
    next = end;
  }
  return windows;
}

ScoreRequest continuation_request(const Tokenizer& tokenizer, const ModelConfig& config,
                                  std::string_view prompt, std::string_view continuation,
                                  bool add_special_tokens) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const size_t prompt_size = prompt.find_last_not_of(kSpaces) + 1;  // 0 where there is nothing else
  const auto whole_text = std::string(prompt) + std::string(continuation);
  ScoreRequest request;
  if (prompt_size == 0) {
    auto tokens = tokenizer.encode(whole_text, /*add_special_tokens=*/false);
    const auto first = config.bos_token_id            ? config.bos_token_id
                       : config.eos_token_ids.empty() ? std::optional<TokenId>()
                                                      : config.eos_token_ids.front();
    if (!first) throw InvalidArgument("the prompt is empty, and the model has no BOS token");
    request.tokens = {*first};
    request.tokens.insert(request.tokens.end(), tokens.begin(), tokens.end());
  } else {
    request.tokens = tokenizer.encode(prompt.substr(0, prompt_size), add_special_tokens);
    request.first_scored = std::ssize(request.tokens);
    const auto whole = tokenizer.encode(whole_text, add_special_tokens);
    const auto num_before = std::min(request.first_scored, std::ssize(whole));
    request.tokens.insert(request.tokens.end(), whole.begin() + num_before, whole.end());
  }
  if (request.first_scored >= std::ssize(request.tokens)) {
    throw InvalidArgument("the continuation has no tokens of its own");
  }
  return request;
}

}  // namespace prepack
