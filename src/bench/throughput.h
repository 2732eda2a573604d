#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/profile.h"
#include "prepack/model.h"
#include "prepack/prefill.h"

namespace prepack::bench {

struct ThroughputOptions {
  std::vector<int64_t> batch_sizes;  // prompts of a batch
  std::vector<int64_t> prompt_lens;  // tokens of each prompt of a batch
  int64_t decode_steps = 0;          // timed after each prefill
  int64_t runs = 3;
  bool profiles = false;  // on a CPU alone, where a call ends with its work
  PrefillOptions prefill = {};
  uint64_t seed = 1;  // of the prompts, which are random token ids
};

/// What repeats in every run.
struct TimedWork {
  std::vector<double> samples_s;   // one per run
  std::optional<PartTimes> parts;  // of all runs together, where profiled

  double median_s() const;
  double min_s() const;
  double max_s() const;
};

/// One batch size and prompt length.
struct ThroughputResult {
  int64_t batch_size = 0;
  int64_t prompt_len = 0;
  int64_t decode_steps = 0;
  TimedWork prefill = {};  // from token ids to every prompt's next-token logits
  TimedWork decode = {};   // from the first drawn token to the last: the steps and their sampling;
                           // no samples where there are no steps
};

/// The useful work of a second.
struct Rates {
  double tokens_per_s = 0;      // of prefill prompt tokens, of decode new ones
  double operations_per_s = 0;  // as useful_work.h counts them
  double bytes_per_s = 0;       // of decode
};

Rates prefill_rates(const Model& model, const ThroughputResult& result);
Rates decode_rates(const Model& model, const ThroughputResult& result);

/// Called before each measurement with the part of the work that is done, 0 to 1.
using ThroughputProgress = std::function<void(double done)>;

/// Times prefill and decode of every batch size with every prompt length, greedily and without stop
/// tokens. One round over all of them is not timed, because a first run takes fresh memory; the
/// rounds that are timed follow, so that a machine's drift meets them all alike.
/// @throws InvalidArgument for lists that are empty, numbers out of their range, prompts that with
///         what is generated exceed max_position_embeddings or the token budget, and a profile of
///         another device than a CPU
/// @return for each batch size each prompt length, in the order of the options
std::vector<ThroughputResult> measure_throughput(const Model& model,
                                                 const ThroughputOptions& options,
                                                 const ThroughputProgress& on_progress = {});

/// The random prompts of one measurement: the first of `batch_size` are the same for every size.
std::vector<TokenIds> throughput_prompts(const ModelConfig& config, int64_t batch_size,
                                         int64_t prompt_len, uint64_t seed);

}  // namespace prepack::bench
