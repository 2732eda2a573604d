#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench/compared_method.h"
#include "bench/resource_monitor.h"
#include "bench/timed_run.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/token.h"

namespace prepack::bench {

struct DataSet {
  std::string name;
  std::vector<TokenIds> prompts;
};

struct ComparisonOptions {
  std::vector<ComparedMethod> methods;
  std::vector<Metric> metrics;
  std::vector<int64_t> batch_sizes;
  int64_t runs = 5;
  int64_t max_new_tokens = 16;  // of the metric generate
  uint64_t seed = 1;

  /// Batches to time of each method, spread evenly over all of its batches; 0: all.
  int64_t max_batches = 0;

  /// Each compared method sets its method. token_budget 0: the whole batch in one forward for
  /// padded and packed rows, as in the paper; the machine's default for flat batches.
  PrefillOptions prefill = {};

  /// Caches of exact length for padded batches too. Otherwise those have padded caches, as in
  /// ordinary batching.
  bool exact_caches = false;

  /// Bytes that the process may take, weights included; 0: any number.
  int64_t memory_limit = 0;
};

/// One batch of one method, over all runs.
struct BatchResult {
  int64_t num_prompts = 0;
  int64_t longest = 0;          // tokens of the longest prompt
  int64_t prompt_tokens = 0;    // final tokens included
  int64_t computed_tokens = 0;  // in prefill, padding included
  int64_t num_rows = 0;
  int64_t token_budget = 0;       // tokens of one forward at most
  std::vector<double> samples_s;  // one per run
};

/// One method on one data set, at one batch size, by one metric.
struct MethodResult {
  std::string data_set;
  ComparedMethod method = ComparedMethod::kPacked;
  Metric metric = Metric::kTtft;
  int64_t batch_size = 0;
  std::vector<BatchResult> batches;      // that were timed
  std::vector<Utilisation> utilisation;  // one per batch and run, where known
  std::optional<int64_t> peak_bytes;  // beyond what was held before, of the batch that needs most
                                      // of all the method's batches, timed or not
  std::string error;                  // why there are no times; else empty

  int64_t sum(int64_t BatchResult::*count) const;  // over the batches, once each
  std::vector<double> samples_s() const;           // of all batches and runs
  double seconds_per_prompt_token() const;
};

struct ComparisonObserver {
  /// Called before each batch with the part of the work that is done, 0 to 1.
  std::function<void(double done)> on_progress = {};

  /// Called with all results so far, when a data set was timed at one batch size by one metric.
  std::function<void(std::span<const MethodResult> results)> on_results = {};
};

/// Times all methods against each other. Each first runs its largest batch, which warms it up and
/// whose peak of memory is kept; then the methods take turns, batch by batch, in every run, and
/// another one begins each time. A method that needs more memory than there is gets an error in its
/// result, and the others go on.
/// @throws InvalidArgument for an empty data set, or options that cannot be
std::vector<MethodResult> compare(const Model& model, std::span<const DataSet> data_sets,
                                  const ComparisonOptions& options,
                                  const ComparisonObserver& observer = {});

/// How many times faster than padded batching on the same data set, batch size and metric, by
/// seconds per prompt token, because methods make different batches. Nothing where one was not run.
std::optional<double> speed_up(const MethodResult& result, std::span<const MethodResult> all);

}  // namespace prepack::bench
