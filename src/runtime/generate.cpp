#include "prepack/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "prepack/error.h"
#include "runtime/refilled_decode.h"
#include "runtime/stop_text.h"

namespace prepack {
namespace {

int64_t allowed_new_tokens(const ModelConfig& config, const GenerationRequest& request) {
  const auto prompt_len = static_cast<int64_t>(request.prompt_ids.size());
  // The last token drawn takes no position, so a prompt of full length may still have one.
  return std::min(request.max_new_tokens, config.max_position_embeddings - prompt_len + 1);
}

/// The prompt, and every new token but the last, which is not fed back.
int64_t needed_slots(const ModelConfig& config, const GenerationRequest& request) {
  return static_cast<int64_t>(request.prompt_ids.size()) + allowed_new_tokens(config, request) - 1;
}

/// The largest sum of `width` neighbours.
int64_t most_in_a_row(int64_t count, int64_t width, const std::function<int64_t(int64_t)>& value) {
  int64_t most = 0;
  int64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += value(i);
    if (i >= width) sum -= value(i - width);
    most = std::max(most, sum);
  }
  return most;
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

/// A prompt that does not fit the budget is named by its number among all, before any is computed.
/// How they are packed does not matter for that.
void check_budget(std::span<const GenerationRequest> requests, PrefillOptions options) {
  options.packing = {};
  std::vector<int64_t> lengths;
  for (const auto& request : requests) lengths.push_back(std::ssize(request.prompt_ids));
  plan_prefill(lengths, options);
}

/// The text of one sequence while its tokens arrive.
struct TextInProgress {
  StreamDecoder decoder;
  StopText stop;
  std::string text = {};
  bool was_observed = false;
};

/// The requests of one call, and what became of them.
class Generation {
 public:
  Generation(const Model& model, const Tokenizer& tokenizer,
             std::span<const GenerationRequest> requests, const GenerationOptions& options,
             const GenerationObservers& observers)
      : model_(model),
        tokenizer_(tokenizer),
        requests_(requests),
        options_(options),
        observers_(observers),
        results_(requests.size()) {
    for (size_t i = 0; i < requests.size(); ++i) unfinished_.push_back(static_cast<int64_t>(i));
  }

  std::vector<GenerationResult> run(RunStats& stats) {
    const bool refills = options_.refills && can_refill(model_, options_.prefill);
    const auto whole = options_.batch_size > 0 ? options_.batch_size : std::ssize(requests_);
    for (auto batch_size = whole; !unfinished_.empty();) {
      batch_size = std::min(batch_size, std::ssize(unfinished_));
      try {
        refills ? refill(batch_size, stats) : compute_batch(batch_size, stats);
        batch_size = whole;
      } catch (const OutOfMemory&) {
        if (batch_size < 2 || is_telling_ || any_text_was_observed()) throw;
        batch_size = (batch_size + 1) / 2;
        ++stats.num_splits;
      }
      std::erase_if(unfinished_, [this](int64_t i) { return results_[i].has_value(); });
    }
    std::vector<GenerationResult> results;
    for (auto& result : results_) results.push_back(std::move(*result));
    return results;
  }

 private:
  /// Those that are not finished, `batch_size` at a time.
  void refill(int64_t batch_size, RunStats& stats) {
    auto [prompts, decode_requests] = begin(unfinished_);
    // No more than where memory ran out, though prompts that were far apart may be neighbours now.
    cache_slots_ = std::min(cache_slots_, slots_of(unfinished_, batch_size));
    decode_with_refills(
        model_, prompts, decode_requests, options_.prefill, batch_size, cache_slots_,
        [&](int64_t i, TokenId token) { return push(unfinished_[i], token); },
        [&](int64_t i, DecodedSequence decoded) { finish(unfinished_[i], std::move(decoded)); },
        stats);
  }

  /// The first of those that are not finished, all to their ends.
  void compute_batch(int64_t batch_size, RunStats& stats) {
    const auto numbers = std::span(unfinished_).first(batch_size);
    auto [prompts, decode_requests] = begin(numbers);
    std::vector<int64_t> row_capacities;
    for (int64_t number : numbers) {
      row_capacities.push_back(needed_slots(model_.config(), requests_[number]));
    }
    RunStats batch;
    auto decoded = decode(
        model_, prefill(model_, prompts, options_.prefill, row_capacities, &batch), decode_requests,
        [&](int64_t i, TokenId token) { return push(numbers[i], token); }, &batch);
    batch.ttft_s += batch.prefill_s;
    stats += batch;
    for (size_t i = 0; i < decoded.size(); ++i) finish(numbers[i], std::move(decoded[i]));
  }

  struct Begun {
    std::vector<TokenIds> prompts;
    std::vector<DecodeRequest> decode_requests;
  };

  /// Begins these requests, or begins them anew.
  Begun begin(std::span<const int64_t> numbers) {
    Begun begun;
    for (int64_t number : numbers) {
      const auto& request = requests_[number];
      begun.prompts.push_back(request.prompt_ids);
      begun.decode_requests.push_back({
          .sampler = Sampler(request.sampling, request.random_stream, request.prompt_ids),
          .max_new_tokens = allowed_new_tokens(model_.config(), request),
          .stop_ids = request.ignore_eos ? std::vector<TokenId>{} : model_.config().eos_token_ids,
      });
      texts_.erase(number);
    }
    return begun;
  }

  TextInProgress& text_of(int64_t number) {
    const auto text = texts_.find(number);
    if (text != texts_.end()) return text->second;
    return texts_
        .insert({number,
                 {StreamDecoder(tokenizer_, /*skip_special_tokens=*/true, TextStart::kBehindText),
                  StopText(requests_[number].stop)}})
        .first->second;
  }

  void emit(int64_t number, const std::string& piece) {
    auto& text = text_of(number);
    text.text += piece;
    if (!observers_.on_text || piece.empty()) return;
    text.was_observed = true;
    tell([&] { observers_.on_text(number, piece); });
  }

  /// Takes a token into the text; returns whether the sequence goes on.
  bool push(int64_t number, TokenId token) {
    auto& text = text_of(number);
    if (tokenizer_.contains(token)) emit(number, text.stop.push(text.decoder.push(token)));
    return !text.stop.found();
  }

  void finish(int64_t number, DecodedSequence decoded) {
    auto& text = text_of(number);
    emit(number, text.stop.push(text.decoder.finish()));
    if (text.stop.found()) decoded.finish_reason = FinishReason::kStop;
    emit(number, text.stop.finish());
    auto& result = results_[number];
    result = {std::move(decoded.token_ids), std::move(text.text), decoded.finish_reason};
    texts_.erase(number);
    if (observers_.on_result) tell([&] { observers_.on_result(number, *result); });
  }

  /// What an observer throws is the caller's, also where memory runs out in it.
  template <typename F>
  void tell(const F& observe) {
    is_telling_ = true;
    observe();
    is_telling_ = false;
  }

  /// The most that so many of these requests in a row may need.
  int64_t slots_of(std::span<const int64_t> numbers, int64_t batch_size) const {
    return most_in_a_row(std::ssize(numbers), batch_size, [&](int64_t i) {
      return needed_slots(model_.config(), requests_[numbers[i]]);
    });
  }

  /// Text of a request that would be generated anew, which cannot be taken back.
  bool any_text_was_observed() const {
    return std::ranges::any_of(texts_, [](const auto& text) { return text.second.was_observed; });
  }

  const Model& model_;
  const Tokenizer& tokenizer_;
  std::span<const GenerationRequest> requests_;
  const GenerationOptions& options_;
  const GenerationObservers& observers_;
  std::vector<int64_t> unfinished_;          // numbers of requests
  std::map<int64_t, TextInProgress> texts_;  // of those that have begun
  std::vector<std::optional<GenerationResult>> results_;
  int64_t cache_slots_ = std::numeric_limits<int64_t>::max();  // where prompts join
  bool is_telling_ = false;
};

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

int64_t num_cache_slots(const ModelConfig& config, std::span<const GenerationRequest> requests,
                        int64_t batch_size) {
  return most_in_a_row(std::ssize(requests), batch_size,
                       [&](int64_t i) { return needed_slots(config, requests[i]); });
}

std::vector<GenerationResult> generate(const Model& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests,
                                       const GenerationOptions& options,
                                       const GenerationObservers& observers, RunStats* stats) {
  for (size_t i = 0; i < requests.size(); ++i) check_request(model.config(), requests[i], i);
  if (options.batch_size < 0) {
    throw InvalidArgument(
        fmt::format("batch_size: expected 0 or more, got {}", options.batch_size));
  }
  check_budget(requests, options.prefill);
  RunStats run;
  auto results = Generation(model, tokenizer, requests, options, observers).run(run);
  if (stats != nullptr) *stats += run;
  return results;
}

}  // namespace prepack
