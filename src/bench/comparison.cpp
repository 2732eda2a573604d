#include "bench/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "base/own_errors.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/memory.h"

namespace prepack::bench {
namespace {

std::vector<int64_t> lengths_of(const DataSet& data_set, const std::vector<int64_t>& batch) {
  std::vector<int64_t> lengths;
  for (int64_t prompt : batch) {
    lengths.push_back(static_cast<int64_t>(data_set.prompts[prompt].size()));
  }
  return lengths;
}

std::vector<int64_t> lengths_of(const DataSet& data_set) {
  std::vector<int64_t> every(data_set.prompts.size());
  std::iota(every.begin(), every.end(), 0);
  return lengths_of(data_set, every);
}

std::vector<TokenIds> prompts_of(const DataSet& data_set, const std::vector<int64_t>& batch) {
  std::vector<TokenIds> prompts;
  for (int64_t prompt : batch) prompts.push_back(data_set.prompts[prompt]);
  return prompts;
}

/// One batch of a method, and how it is prefilled.
struct PlannedBatch {
  std::vector<TokenIds> prompts;
  PrefillOptions options;
  BatchResult result;
  int64_t needed_bytes = 0;  // predicted
};

/// One method's part in a contest.
struct Entry {
  MethodResult result;
  std::vector<PlannedBatch> timed;
  PlannedBatch largest;  // of all batches, whether timed or not
};

/// What is timed together: every method on one data set, at one batch size, by one metric.
using Contest = std::vector<Entry>;

class Comparison {
 public:
  Comparison(const Model& model, const ComparisonOptions& options,
             const ComparisonObserver& observer)
      : model_(model), options_(options), observer_(observer) {}

  std::vector<MethodResult> run(std::span<const DataSet> data_sets) {
    std::vector<Contest> contests;
    for (const auto& data_set : data_sets) {
      for (int64_t batch_size : options_.batch_sizes) {
        for (auto metric : options_.metrics) {
          contests.push_back(plan_contest(data_set, batch_size, metric));
        }
      }
    }
    touch_weights();
    std::vector<MethodResult> results;
    for (auto& contest : contests) {
      run_contest(contest);
      for (auto& entry : contest) {
        for (auto& batch : entry.timed) entry.result.batches.push_back(std::move(batch.result));
        results.push_back(std::move(entry.result));
      }
      contest.clear();
      if (observer_.on_results) observer_.on_results(results);
    }
    return results;
  }

 private:
  Contest plan_contest(const DataSet& data_set, int64_t batch_size, Metric metric) {
    Contest contest;
    const auto lengths = lengths_of(data_set);
    for (auto method : options_.methods) {
      Entry entry;
      entry.result.data_set = data_set.name;
      entry.result.method = method;
      entry.result.metric = metric;
      entry.result.batch_size = batch_size;
      const auto batches = make_batches(method, lengths, batch_size, options_.prefill.packing,
                                        options_.prefill.capacity, options_.seed);
      std::vector<PlannedBatch> planned;
      for (const auto& batch : batches) {
        planned.push_back(plan_batch(data_set, batch, entry.result));
      }
      entry.largest = *std::ranges::max_element(planned, {}, &PlannedBatch::needed_bytes);
      work_ += work_of(entry, entry.largest);
      for (int64_t b : spread_evenly(std::ssize(batches), options_.max_batches)) {
        entry.timed.push_back(std::move(planned[b]));
        work_ += static_cast<double>(options_.runs) * work_of(entry, entry.timed.back());
      }
      contest.push_back(std::move(entry));
    }
    return contest;
  }

  PlannedBatch plan_batch(const DataSet& data_set, const std::vector<int64_t>& batch,
                          const MethodResult& result) const {
    const auto lengths = lengths_of(data_set, batch);
    const auto options = prefill_options(result, lengths);
    const auto plan = plan_prefill(lengths, options);
    return {
        .prompts = prompts_of(data_set, batch),
        .options = options,
        .result = {.num_prompts = static_cast<int64_t>(lengths.size()),
                   .longest = *std::ranges::max_element(lengths),
                   .prompt_tokens = std::reduce(lengths.begin(), lengths.end()),
                   .computed_tokens = plan.computed_tokens,
                   .num_rows = plan.num_rows,
                   .token_budget = options.token_budget,
                   .samples_s = {}},
        .needed_bytes = estimate_memory(model_.config(), model_.dtype(), model_.device(),
                                        batch_shape(lengths, plan, options, result.metric,
                                                    options_.max_new_tokens, model_.device()),
                                        {model_.quantization(), model_.activations()},
                                        {.weights = model_.weight_bytes()})
                            .total(),
    };
  }

  PrefillOptions prefill_options(const MethodResult& result,
                                 const std::vector<int64_t>& lengths) const {
    auto options = options_for(result.metric, options_.prefill);
    options.method = prefill_method(result.method);
    options.padded_cache = options.method == PrefillMethod::kPadded && !options_.exact_caches;
    if (options.token_budget > 0) return options;
    const int64_t longest = std::max(*std::ranges::max_element(lengths), options.capacity);
    options.token_budget = options.method == PrefillMethod::kPacked
                               ? default_budget(lengths, longest)
                               : longest * static_cast<int64_t>(lengths.size());
    return options;
  }

  /// For flat batches, from what weights and caches leave.
  int64_t default_budget(const std::vector<int64_t>& lengths, int64_t longest) const {
    const auto& config = model_.config();
    const BatchShape caches{.num_prompts = static_cast<int64_t>(lengths.size()),
                            .cache_slots = std::reduce(lengths.begin(), lengths.end())};
    const int64_t limit =
        options_.memory_limit > 0 ? options_.memory_limit : std::numeric_limits<int64_t>::max();
    return default_token_budget(
        config, model_.dtype(), model_.device(), PrefillMethod::kPacked, longest,
        limit - estimate_memory(config, model_.dtype(), model_.device(), caches,
                                {model_.quantization(), model_.activations()},
                                {.weights = model_.weight_bytes()})
                    .total());
  }

  /// Weights that are read from their file when they are first used must not count as a method's
  /// memory.
  void touch_weights() const {
    const TokenIds prompt = {0};
    time_batch(model_, {&prompt, 1}, {}, Metric::kTtft, 1);
  }

  void run_contest(Contest& contest) {
    // The one that needs most memory comes last, so that the heap has grown to its full size when
    // the first batch is timed, for everyone.
    std::vector<Entry*> by_memory;
    for (auto& entry : contest) by_memory.push_back(&entry);
    std::ranges::stable_sort(by_memory, {}, [](const Entry* e) { return e->largest.needed_bytes; });
    for (auto* entry : by_memory) measure_memory(*entry);
    size_t most_batches = 0;
    for (const auto& entry : contest) most_batches = std::max(most_batches, entry.timed.size());
    size_t first = 0;  // whose turn comes first
    for (int64_t run = 0; run < options_.runs; ++run) {
      for (size_t b = 0; b < most_batches; ++b, ++first) {
        for (size_t i = 0; i < contest.size(); ++i) {
          auto& entry = contest[(first + i) % contest.size()];
          if (b < entry.timed.size()) time_one(entry, entry.timed[b]);
        }
      }
    }
  }

  void measure_memory(Entry& entry) {
    attempt(entry, [&] {
      require_memory(entry.largest);
      const PeakMemoryMeter memory(model_.device());
      run_batch(entry, entry.largest);
      entry.result.peak_bytes = memory.peak_bytes();
    });
    entry.largest.prompts.clear();
  }

  void time_one(Entry& entry, PlannedBatch& batch) {
    attempt(entry, [&] {
      UtilisationMonitor monitor(model_.device());
      batch.result.samples_s.push_back(run_batch(entry, batch));
      if (const auto use = monitor.stop()) entry.result.utilisation.push_back(*use);
    });
  }

  void require_memory(const PlannedBatch& batch) const {
    if (options_.memory_limit <= 0 || batch.needed_bytes <= options_.memory_limit) return;
    throw OutOfMemory(fmt::format("out of memory: needs about {:.1f} GB, and {:.1f} GB may be used",
                                  1e-9 * static_cast<double>(batch.needed_bytes),
                                  1e-9 * static_cast<double>(options_.memory_limit)));
  }

  /// Takes a method out of its contest where memory does not suffice.
  template <typename Run>
  void attempt(Entry& entry, const Run& run) {
    if (!entry.result.error.empty()) return;
    try {
      run();
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      const std::string text = error.what();
      entry.result.error = text.starts_with("out of memory") ? text : "out of memory";
      entry.result.peak_bytes.reset();
      entry.result.utilisation.clear();
      for (auto& batch : entry.timed) batch.result.samples_s.clear();
    }
  }

  double run_batch(const Entry& entry, const PlannedBatch& batch) {
    if (observer_.on_progress) observer_.on_progress(work_ > 0 ? done_ / work_ : 0);
    done_ += work_of(entry, batch);
    return time_batch(model_, batch.prompts, batch.options, entry.result.metric,
                      options_.max_new_tokens);
  }

  /// In computed tokens, those of decode included.
  double work_of(const Entry& entry, const PlannedBatch& batch) const {
    const bool decodes = entry.result.metric == Metric::kGenerate;
    const int64_t decoded = decodes ? batch.result.num_prompts * options_.max_new_tokens : 0;
    return static_cast<double>(batch.result.computed_tokens + decoded);
  }

  const Model& model_;
  const ComparisonOptions& options_;
  const ComparisonObserver& observer_;
  double work_ = 0;
  double done_ = 0;
};

void check(std::span<const DataSet> data_sets, const ComparisonOptions& options) {
  for (const auto& data_set : data_sets) {
    if (data_set.prompts.empty()) {
      throw InvalidArgument(fmt::format("data set {}: has no prompts", data_set.name));
    }
  }
  if (options.runs < 1 || options.max_new_tokens < 1) {
    throw InvalidArgument("comparison: expected at least 1 run and 1 new token");
  }
}

}  // namespace

int64_t MethodResult::sum(int64_t BatchResult::*count) const {
  return std::transform_reduce(batches.begin(), batches.end(), int64_t{0}, std::plus(),
                               [&](const BatchResult& batch) { return batch.*count; });
}

std::vector<double> MethodResult::samples_s() const {
  std::vector<double> samples;
  for (const auto& batch : batches) {
    samples.insert(samples.end(), batch.samples_s.begin(), batch.samples_s.end());
  }
  return samples;
}

double MethodResult::seconds_per_prompt_token() const {
  double seconds = 0;
  double tokens = 0;
  for (const auto& batch : batches) {
    for (double sample : batch.samples_s) {
      seconds += sample;
      tokens += static_cast<double>(batch.prompt_tokens);
    }
  }
  return tokens > 0 ? seconds / tokens : 0;
}

std::vector<MethodResult> compare(const Model& model, std::span<const DataSet> data_sets,
                                  const ComparisonOptions& options,
                                  const ComparisonObserver& observer) {
  check(data_sets, options);
  return Comparison(model, options, observer).run(data_sets);
}

std::optional<double> speed_up(const MethodResult& result, std::span<const MethodResult> all) {
  const auto padded = std::ranges::find_if(all, [&](const MethodResult& other) {
    return other.method == ComparedMethod::kPadded && other.data_set == result.data_set &&
           other.batch_size == result.batch_size && other.metric == result.metric;
  });
  if (padded == all.end() || !padded->error.empty() || !result.error.empty()) return std::nullopt;
  const double seconds = result.seconds_per_prompt_token();
  if (seconds <= 0) return std::nullopt;
  return padded->seconds_per_prompt_token() / seconds;
}

}  // namespace prepack::bench
