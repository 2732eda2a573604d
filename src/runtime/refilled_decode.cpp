#include "runtime/refilled_decode.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/own_errors.h"
#include "base/scalar_type.h"
#include "base/stopwatch.h"
#include "prepack/attention.h"
#include "runtime/forward_graphs.h"
#include "runtime/prefill_rows.h"

namespace prepack {
namespace {

/// The prompt, and every new token but the last, which is not fed back.
int64_t needed_slots(const TokenIds& prompt, const DecodeRequest& request) {
  return std::ssize(prompt) + request.max_new_tokens - 1;
}

/// Prompts that wait for a place in the batch, which they take in their order.
class WaitingPrompts {
 public:
  WaitingPrompts(std::span<const TokenIds> prompts, std::span<DecodeRequest> requests)
      : prompts_(prompts), requests_(requests) {}

  int64_t size() const { return std::ssize(prompts_) - next_; }

  /// The next ones that find room in the cache, at most so many.
  std::vector<DecodingSequence> take(int64_t at_most, KvCache& cache) {
    std::vector<DecodingSequence> taken;
    while (size() > 0 && std::ssize(taken) < at_most) {
      const auto row = cache.add_row(needed_slots(prompts_[next_], requests_[next_]));
      if (!row) break;
      taken.push_back({.number = next_,
                       .row = *row,
                       .length = std::ssize(prompts_[next_]),
                       .request = &requests_[next_]});
      ++next_;
    }
    return taken;
  }

  /// Those that were taken last.
  std::span<const TokenIds> last(size_t count) const {
    return prompts_.subspan(next_ - count, count);
  }

 private:
  std::span<const TokenIds> prompts_;
  std::span<DecodeRequest> requests_;
  int64_t next_ = 0;
};

void run(const Model& model, std::span<const TokenIds> prompts, std::span<DecodeRequest> requests,
         const PrefillOptions& options, int64_t batch_size, int64_t cache_slots,
         const TokenObserver& on_token, const SequenceObserver& on_finished, RunStats& stats) {
  TORCH_CHECK(batch_size > 0, "decode: a batch of ", batch_size);
  auto cache = KvCache::without_rows(model.config(), cache_slots, model.dtype(), model.device());
  const auto graphs = options.uses_graphs ? make_forward_graphs(model, cache) : nullptr;
  DecodeBatch batch(model, cache, graphs.get(), on_token,
                    [&](int64_t number, DecodedSequence decoded) {
                      const auto num_generated = std::ssize(decoded.token_ids);
                      on_finished(number, std::move(decoded));
                      ++stats.num_prompts;
                      stats.prompt_tokens += std::ssize(prompts[number]);
                      stats.generated_tokens += num_generated;
                    });
  WaitingPrompts waiting(prompts, requests);
  // A few prompts are too little for a forward of their own.
  const int64_t enough = std::max<int64_t>(batch_size / 4, 1);
  while (waiting.size() > 0 || batch.size() > 0) {
    const int64_t num_places = batch_size - batch.size();
    if (waiting.size() > 0 && num_places >= std::min(enough, waiting.size())) {
      auto joining = waiting.take(num_places, cache);
      if (!joining.empty()) {
        std::vector<int64_t> rows;
        for (const auto& sequence : joining) rows.push_back(sequence.row);
        RunStats joined;
        auto logits = prefill_rows(model, waiting.last(joining.size()), options, std::move(rows),
                                   cache, graphs.get(), joined);
        const Stopwatch stopwatch;
        batch.join(std::move(joining), std::move(logits));
        joined.ttft_s = joined.prefill_s + stopwatch.seconds();
        ++joined.decode_steps;
        stats += joined;
        continue;  // some may have needed no step
      }
    }
    const Stopwatch stopwatch;
    batch.step();
    stats.decode_s += stopwatch.seconds();
    ++stats.decode_steps;
  }
  if (graphs != nullptr) stats += graphs->stats();
}

}  // namespace

bool can_refill(const Model& model, const PrefillOptions& options) {
  return options.method == PrefillMethod::kPacked && options.final_token == FinalToken::kPrefill &&
         !options.shares_prefixes && !options.padded_cache &&
         has_varlen_kernel(model.device(), to_scalar_type(model.dtype()), model.config().head_dim);
}

void decode_with_refills(const Model& model, std::span<const TokenIds> prompts,
                         std::span<DecodeRequest> requests, const PrefillOptions& options,
                         int64_t batch_size, int64_t cache_slots, const TokenObserver& on_token,
                         const SequenceObserver& on_finished, RunStats& stats) {
  with_own_errors([&] {
    run(model, prompts, requests, options, batch_size, cache_slots, on_token, on_finished, stats);
  });
}

}  // namespace prepack
