#include "bench/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <numeric>

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

/// Whether this is how memory runs out: by the library's error, C++'s or LibTorch's.
bool is_out_of_memory(const std::exception& error) {
  const std::string_view text = error.what();
  return dynamic_cast<const OutOfMemory*>(&error) != nullptr ||
         dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         text.find("can't allocate memory") != std::string_view::npos ||
         text.find("CUDA out of memory") != std::string_view::npos;
}

/// One method's part in a contest: its batches, and how each is prefilled.
struct Entry {
  MethodResult result;
  Batches batches;
  std::vector<PrefillOptions> options;  // per batch
  size_t largest = 0;                   // the batch that needs most memory
  int64_t needed_bytes = 0;             // by that batch, predicted
};

/// What is timed together: every method on one data set, at one batch size, by one metric.
struct Contest {
  const DataSet* data_set;
  std::vector<Entry> entries;
};

class Comparison {
 public:
  Comparison(const Model& model, const ComparisonOptions& options,
             const ComparisonProgress& progress)
      : model_(model), options_(options), progress_(progress) {}

  std::vector<MethodResult> run(std::span<const DataSet> data_sets) {
    std::vector<Contest> contests;
    for (const auto& data_set : data_sets) {
      for (int64_t batch_size : options_.batch_sizes) {
        for (auto metric : options_.metrics) {
          contests.push_back(plan_contest(data_set, batch_size, metric));
        }
      }
    }
    touch_weights(data_sets);
    std::vector<MethodResult> results;
    for (auto& contest : contests) {
      run_contest(contest);
      for (auto& entry : contest.entries) results.push_back(std::move(entry.result));
    }
    return results;
  }

 private:
  /// Weights that are read from their file when they are first used must not count as a method's
  /// memory.
  void touch_weights(std::span<const DataSet> data_sets) const {
    if (data_sets.empty()) return;
    time_batch(model_, {data_sets[0].prompts.data(), 1}, {}, Metric::kTtft, 1);
  }

  Contest plan_contest(const DataSet& data_set, int64_t batch_size, Metric metric) {
    Contest contest{.data_set = &data_set, .entries = {}};
    const auto lengths = lengths_of(data_set);
    for (auto method : options_.methods) {
      Entry entry;
      entry.result.data_set = data_set.name;
      entry.result.method = method;
      entry.result.metric = metric;
      entry.result.batch_size = batch_size;
      entry.batches = spread_evenly(
          make_batches(method, lengths, batch_size, options_.prefill.packing, options_.seed),
          options_.max_batches);
      for (size_t b = 0; b < entry.batches.size(); ++b) plan_batch(data_set, b, entry);
      work_ += work_of(entry, entry.largest);
      for (size_t b = 0; b < entry.batches.size(); ++b) {
        work_ += static_cast<double>(options_.runs) * work_of(entry, b);
      }
      contest.entries.push_back(std::move(entry));
    }
    return contest;
  }

  void plan_batch(const DataSet& data_set, size_t batch, Entry& entry) const {
    const auto lengths = lengths_of(data_set, entry.batches[batch]);
    const auto options = prefill_options(entry.result, lengths);
    const auto plan = plan_prefill(lengths, options);
    entry.options.push_back(options);
    entry.result.batches.push_back({
        .num_prompts = static_cast<int64_t>(lengths.size()),
        .longest = *std::ranges::max_element(lengths),
        .prompt_tokens = std::reduce(lengths.begin(), lengths.end()),
        .computed_tokens = plan.computed_tokens,
        .num_rows = plan.num_rows,
        .samples_s = {},
    });
    const auto needed = estimate_memory(model_.config(), model_.dtype(),
                                        batch_shape(lengths, options, entry.result.metric,
                                                    options_.max_new_tokens, model_.device()))
                            .total();
    if (needed > entry.needed_bytes) {
      entry.needed_bytes = needed;
      entry.largest = batch;
    }
  }

  PrefillOptions prefill_options(const MethodResult& result,
                                 const std::vector<int64_t>& lengths) const {
    auto options = options_for(result.metric, options_.prefill);
    options.method = prefill_method(result.method);
    options.padded_cache = options.method == PrefillMethod::kPadded && !options_.exact_caches;
    if (options.token_budget > 0) return options;
    const int64_t longest = *std::ranges::max_element(lengths);
    options.token_budget =
        options.method == PrefillMethod::kPacked
            ? default_token_budget(model_.config(), model_.dtype(), options.method,
                                   std::max(longest, options.capacity), options_.memory_limit)
            : std::max(longest, options.capacity) * static_cast<int64_t>(lengths.size());
    return options;
  }

  void run_contest(Contest& contest) {
    for (auto& entry : contest.entries) {
      attempt(entry, [&] {
        require_memory(entry);
        const PeakMemoryMeter memory(model_.device());
        run_batch(*contest.data_set, entry, entry.largest);
        entry.result.peak_bytes = memory.peak_bytes();
      });
    }
    size_t most_batches = 0;
    for (const auto& entry : contest.entries) {
      most_batches = std::max(most_batches, entry.batches.size());
    }
    for (int64_t run = 0; run < options_.runs; ++run) {
      for (size_t b = 0; b < most_batches; ++b) {
        for (auto& entry : contest.entries) {
          if (b >= entry.batches.size()) continue;
          attempt(entry, [&] {
            UtilisationMonitor monitor(model_.device());
            const double seconds = run_batch(*contest.data_set, entry, b);
            entry.result.utilisation.push_back(monitor.stop());
            entry.result.batches[b].samples_s.push_back(seconds);
          });
        }
      }
    }
  }

  void require_memory(const Entry& entry) const {
    if (options_.memory_limit <= 0 || entry.needed_bytes <= options_.memory_limit) return;
    throw OutOfMemory(fmt::format("out of memory: needs about {:.1f} GB, and {:.1f} GB may be used",
                                  1e-9 * static_cast<double>(entry.needed_bytes),
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
      for (auto& batch : entry.result.batches) batch.samples_s.clear();
    }
  }

  double run_batch(const DataSet& data_set, const Entry& entry, size_t batch) {
    if (progress_) progress_(work_ > 0 ? done_ / work_ : 0);
    done_ += work_of(entry, batch);
    const auto prompts = prompts_of(data_set, entry.batches[batch]);
    return time_batch(model_, prompts, entry.options[batch], entry.result.metric,
                      options_.max_new_tokens);
  }

  /// In computed tokens, those of decode included.
  double work_of(const Entry& entry, size_t batch) const {
    if (entry.result.batches.empty()) return 0;
    const auto& planned = entry.result.batches[batch];
    const int64_t decoded = entry.result.metric == Metric::kGenerate
                                ? planned.num_prompts * options_.max_new_tokens
                                : 0;
    return static_cast<double>(planned.computed_tokens + decoded);
  }

  const Model& model_;
  const ComparisonOptions& options_;
  const ComparisonProgress& progress_;
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
                                  const ComparisonProgress& progress) {
  check(data_sets, options);
  return Comparison(model, options, progress).run(data_sets);
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
