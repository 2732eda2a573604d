#include "prepack/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "prepack/error.h"
#include "runtime/stop_text.h"

namespace prepack {
namespace {

/// The text of one sequence while its tokens arrive.
struct TextInProgress {
  StreamDecoder decoder;
  StopText stop;
  std::string text;
};

int64_t allowed_new_tokens(const ModelConfig& config, const GenerationRequest& request) {
  const auto prompt_len = static_cast<int64_t>(request.prompt_ids.size());
  // The last token drawn takes no position, so a prompt of full length may still have one.
  return std::min(request.max_new_tokens, config.max_position_embeddings - prompt_len + 1);
}

/// The prompt, and every new token but the last, which is not fed back.
int64_t needed_slots(const ModelConfig& config, const GenerationRequest& request) {
  return static_cast<int64_t>(request.prompt_ids.size()) + allowed_new_tokens(config, request) - 1;
}

void check_request(const ModelConfig& config, const GenerationRequest& request, size_t index) {
  if (const auto defect = find_prompt_defect(config, request.prompt_ids)) {
    throw InvalidArgument(fmt::format("prompt {} {}", index, *defect));
  }
  if (request.max_new_tokens < 1) {
    throw InvalidArgument(fmt::format("prompt {}: max_new_tokens: expected at least 1, got {}",
                                      index, request.max_new_tokens));
  }
  try {
    request.sampling.validate();
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("prompt {}: {}", index, error.what()));
  }
}

/// Requests that are computed as one batch.
/// @param first     the number of the first one among all
std::vector<GenerationResult> generate_batch(const Model& model, const Tokenizer& tokenizer,
                                             std::span<const GenerationRequest> requests,
                                             int64_t first, const PrefillOptions& options,
                                             const TextObserver& observer, RunStats& run);

/// The same; where memory runs out for what they need together, of each half by itself. Text that
/// was observed cannot be taken back, and a half would give it again: then it is an error.
std::vector<GenerationResult> generate_in_parts(const Model& model, const Tokenizer& tokenizer,
                                                std::span<const GenerationRequest> requests,
                                                int64_t first, const PrefillOptions& options,
                                                const TextObserver& observer, RunStats& run) {
  bool was_observed = false;
  TextObserver noting_observer;
  if (observer) {
    noting_observer = [&](int64_t sequence, std::string_view text) {
      was_observed = true;
      observer(sequence, text);
    };
  }
  try {
    return generate_batch(model, tokenizer, requests, first, options, noting_observer, run);
  } catch (const OutOfMemory&) {
    if (requests.size() < 2 || was_observed) throw;
  }
  ++run.num_splits;
  const auto half = std::ssize(requests) / 2;
  auto results =
      generate_in_parts(model, tokenizer, requests.first(half), first, options, observer, run);
  std::ranges::move(generate_in_parts(model, tokenizer, requests.subspan(half), first + half,
                                      options, observer, run),
                    std::back_inserter(results));
  return results;
}

}  // namespace

int64_t cache_capacity(const ModelConfig& config, std::span<const GenerationRequest> requests) {
  int64_t capacity = 0;
  for (const auto& request : requests) {
    capacity = std::max(capacity, needed_slots(config, request));
  }
  return capacity;
}

int64_t num_cache_slots(const ModelConfig& config, std::span<const GenerationRequest> requests) {
  int64_t num_slots = 0;
  for (const auto& request : requests) num_slots += needed_slots(config, request);
  return num_slots;
}

std::vector<GenerationResult> generate(const Model& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests,
                                       const PrefillOptions& options, const TextObserver& observer,
                                       RunStats* stats) {
  for (size_t i = 0; i < requests.size(); ++i) check_request(model.config(), requests[i], i);
  RunStats run;
  auto results = generate_in_parts(model, tokenizer, requests, 0, options, observer, run);
  if (stats != nullptr) *stats += run;
  return results;
}

namespace {

std::vector<GenerationResult> generate_batch(const Model& model, const Tokenizer& tokenizer,
                                             std::span<const GenerationRequest> requests,
                                             int64_t first, const PrefillOptions& options,
                                             const TextObserver& observer, RunStats& run) {
  const auto& config = model.config();
  std::vector<TokenIds> prompts;
  std::vector<DecodeRequest> decode_requests;
  std::vector<TextInProgress> texts;
  std::vector<int64_t> row_capacities;
  for (const auto& request : requests) {
    prompts.push_back(request.prompt_ids);
    row_capacities.push_back(needed_slots(config, request));
    decode_requests.push_back({
        .sampler = Sampler(request.sampling, request.random_stream, request.prompt_ids),
        .max_new_tokens = allowed_new_tokens(config, request),
        .stop_ids = request.ignore_eos ? std::vector<TokenId>{} : config.eos_token_ids,
    });
    texts.push_back({StreamDecoder(tokenizer, /*skip_special_tokens=*/true, TextStart::kBehindText),
                     StopText(request.stop), ""});
  }

  const auto emit = [&](int64_t sequence, const std::string& piece) {
    texts[sequence].text += piece;
    if (observer && !piece.empty()) observer(first + sequence, piece);
  };
  const auto on_token = [&](int64_t sequence, TokenId token) {
    auto& text = texts[sequence];
    if (tokenizer.contains(token)) emit(sequence, text.stop.push(text.decoder.push(token)));
    return !text.stop.found();
  };
  RunStats batch;
  auto state = prefill(model, prompts, options, row_capacities, &batch);
  auto decoded = decode(model, std::move(state), decode_requests, on_token, &batch);
  batch.ttft_s += batch.prefill_s;
  run += batch;

  std::vector<GenerationResult> results;
  for (size_t i = 0; i < decoded.size(); ++i) {
    auto& text = texts[i];
    const auto sequence = static_cast<int64_t>(i);
    emit(sequence, text.stop.push(text.decoder.finish()));
    if (text.stop.found()) decoded[i].finish_reason = FinishReason::kStop;
    emit(sequence, text.stop.finish());
    results.push_back(
        {std::move(decoded[i].token_ids), std::move(text.text), decoded[i].finish_reason});
  }
  return results;
}

}  // namespace
}  // namespace prepack
