#include "bench/throughput.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/stopwatch.h"
#include "bench/random_prompts.h"
#include "bench/statistics.h"
#include "bench/useful_work.h"
#include "prepack/decode.h"
#include "prepack/error.h"

namespace prepack::bench {
namespace {

/// Times what happens from `start` to `stop`.
class WorkTimer {
 public:
  explicit WorkTimer(bool profiles) : profiles_(profiles) {}

  void start() {
    if (profiles_) profiler_.emplace();
    stopwatch_ = {};
  }

  void stop() {
    seconds_ = stopwatch_.seconds();
    if (profiles_) parts_ = profiler_->times();
    profiler_.reset();
  }

  void add_to(TimedWork& work) const {
    work.samples_s.push_back(seconds_);
    if (!profiles_) return;
    if (!work.parts) work.parts.emplace();
    *work.parts += parts_;
  }

 private:
  bool profiles_;
  Stopwatch stopwatch_;
  std::optional<Profiler> profiler_;
  double seconds_ = 0;
  PartTimes parts_;
};

void check(const ModelConfig& config, at::Device device, const ThroughputOptions& options) {
  if (options.batch_sizes.empty() || options.prompt_lens.empty() || options.runs < 1 ||
      options.decode_steps < 0 || std::ranges::min(options.batch_sizes) < 1 ||
      std::ranges::min(options.prompt_lens) < 1) {
    throw InvalidArgument(
        "throughput: expected batch sizes, prompt lengths and runs of at least 1, and no fewer "
        "than 0 decode steps");
  }
  const int64_t longest = std::ranges::max(options.prompt_lens) + options.decode_steps;
  if (longest > config.max_position_embeddings) {
    throw InvalidArgument(
        fmt::format("throughput: prompts and decode steps of {} tokens, more than the model's "
                    "max_position_embeddings of {}",
                    longest, config.max_position_embeddings));
  }
  if (options.profiles && !device.is_cpu()) {
    throw InvalidArgument("throughput: only what runs on a CPU can be profiled");
  }
}

class Throughput {
 public:
  Throughput(const Model& model, const ThroughputOptions& options,
             const ThroughputProgress& on_progress)
      : model_(model), options_(options), on_progress_(on_progress) {}

  std::vector<ThroughputResult> run() {
    std::vector<ThroughputResult> results;
    for (int64_t batch_size : options_.batch_sizes) {
      for (int64_t prompt_len : options_.prompt_lens) {
        results.push_back({.batch_size = batch_size,
                           .prompt_len = prompt_len,
                           .decode_steps = options_.decode_steps});
        tokens_ += (options_.runs + 1) * tokens_of(results.back());
      }
    }
    for (int64_t round = 0; round <= options_.runs; ++round) {
      for (auto& result : results) {
        auto measured = result;
        measure(measured);
        if (round > 0) result = std::move(measured);
      }
    }
    return results;
  }

 private:
  void measure(ThroughputResult& result) {
    if (on_progress_) on_progress_(static_cast<double>(done_) / static_cast<double>(tokens_));
    done_ += tokens_of(result);
    const auto prompts =
        throughput_prompts(model_.config(), result.batch_size, result.prompt_len, options_.seed);
    WorkTimer timer(options_.profiles);
    timer.start();
    auto state =
        prefill(model_, prompts, options_.prefill, result.prompt_len + result.decode_steps);
    decode_final_tokens(model_, state);
    timer.stop();
    timer.add_to(result.prefill);
    if (result.decode_steps > 0) measure_decode(prompts, std::move(state), result);
  }

  /// A step begins when the tokens of the one before are drawn, and ends when its own are.
  void measure_decode(const std::vector<TokenIds>& prompts, DecodeState state,
                      ThroughputResult& result) {
    std::vector<DecodeRequest> requests;
    for (const auto& prompt : prompts) {
      requests.push_back({.sampler = Sampler(SamplingParams{}, /*stream=*/0, prompt),
                          .max_new_tokens = result.decode_steps + 1});
    }
    WorkTimer timer(options_.profiles);
    int64_t num_drawn = 0;
    const auto on_token = [&](int64_t, TokenId) {
      if (num_drawn == 0) timer.start();
      if (num_drawn == result.decode_steps * result.batch_size) timer.stop();
      ++num_drawn;
      return true;
    };
    decode(model_, std::move(state), requests, on_token);
    timer.add_to(result.decode);
  }

  static int64_t tokens_of(const ThroughputResult& result) {
    return result.batch_size * (result.prompt_len + result.decode_steps);
  }

  const Model& model_;
  const ThroughputOptions& options_;
  const ThroughputProgress& on_progress_;
  int64_t tokens_ = 0;
  int64_t done_ = 0;
};

std::vector<int64_t> lengths_of(const ThroughputResult& result) {
  return std::vector<int64_t>(result.batch_size, result.prompt_len);
}

}  // namespace

double TimedWork::median_s() const { return median(samples_s); }

double TimedWork::min_s() const { return samples_s.empty() ? 0 : std::ranges::min(samples_s); }

double TimedWork::max_s() const { return samples_s.empty() ? 0 : std::ranges::max(samples_s); }

Rates prefill_rates(const Model& model, const ThroughputResult& result) {
  const double seconds = result.prefill.median_s();
  return {
      .tokens_per_s = static_cast<double>(result.batch_size * result.prompt_len) / seconds,
      .operations_per_s = prefill_operations(model.config(), lengths_of(result)) / seconds,
  };
}

Rates decode_rates(const Model& model, const ThroughputResult& result) {
  const double seconds = result.decode.median_s();
  const auto lengths = lengths_of(result);
  const int64_t steps = result.decode_steps;
  return {
      .tokens_per_s = static_cast<double>(result.batch_size * steps) / seconds,
      .operations_per_s = decode_operations(model.config(), lengths, steps) / seconds,
      .bytes_per_s =
          decode_bytes(model.config(), model.dtype(), model.step_weight_bytes(), lengths, steps) /
          seconds,
  };
}

std::vector<ThroughputResult> measure_throughput(const Model& model,
                                                 const ThroughputOptions& options,
                                                 const ThroughputProgress& on_progress) {
  check(model.config(), model.device(), options);
  return Throughput(model, options, on_progress).run();
}

std::vector<TokenIds> throughput_prompts(const ModelConfig& config, int64_t batch_size,
                                         int64_t prompt_len, uint64_t seed) {
  std::vector<TokenIds> prompts;
  for (int64_t i = 0; i < batch_size; ++i) {
    RandomStream random(seed, static_cast<uint64_t>(i));
    prompts.push_back(random_prompt(random, prompt_len, config.vocab_size));
  }
  return prompts;
}

}  // namespace prepack::bench
