#include "prepack/prefill.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/mapped_tensor.h"
#include "base/own_errors.h"
#include "base/scalar_type.h"
#include "base/stopwatch.h"
#include "base/upload.h"
#include "model/rope_frequencies.h"
#include "prepack/device.h"
#include "prepack/error.h"
#include "prepack/packed_batch.h"
#include "runtime/forward_arrays.h"
#include "runtime/forward_graphs.h"
#include "runtime/forward_input.h"

namespace prepack {
namespace {

/// The place of each segment's last token in the batch; none where nobody reads their logits.
at::Tensor last_tokens(const PackedBatch& batch, bool reads_logits) {
  std::vector<int64_t> tokens;
  if (reads_logits) {
    for (const auto& segment : batch.segments) {
      tokens.push_back(batch.first_token(segment) + segment.length - 1);
    }
  }
  return at::tensor(tokens, at::kLong);
}

/// Where a prefill puts what it computes.
struct Destination {
  KvCache& cache;
  std::vector<int64_t> rows;  // of the cache, one per prompt
  at::Tensor logits;          // [num_prompts, vocab_size]; undefined: nobody reads them
  ForwardGraphs* graphs;      // null: none are used
};

/// One packed forward: fills the prompts' cache rows and their next-token logits.
void run_forward(const Model& model, PackedBatch batch, PrefillMethod method, Destination& to) {
  const auto device = model.device();
  const bool reads_logits = to.logits.defined();
  const auto outputs = last_tokens(batch, reads_logits);
  std::vector<int64_t> prompts;
  for (auto& segment : batch.segments) {
    prompts.push_back(segment.sequence);
    segment.sequence = to.rows[segment.sequence];  // as the cache counts them
  }
  const auto places = upload(at::tensor(prompts, at::kLong), device);
  if (to.graphs != nullptr && method == PrefillMethod::kPacked && reads_logits) {
    auto input = host_forward_input(batch, to.cache, 0);
    input.output_tokens = outputs;
    to.logits.index_copy_(0, places, to.graphs->compute(input));
    return;
  }
  // The first decode step does the final tokens that are left out here.
  auto input = forward_input(method, batch, to.cache, device, reads_logits ? 0 : 1);
  input.output_tokens = upload(outputs, device);
  const auto hidden = model.forward(input, to.cache);
  if (reads_logits) to.logits.index_copy_(0, places, model.compute_logits(hidden));
}

/// Prompts, or what is left of them, that can be computed together.
struct Phase {
  std::vector<int64_t> sequences;
  std::vector<int64_t> lengths;  // tokens to compute
};

/// In the first phase prompts that share nothing, in each other the rest of those whose beginning
/// was computed in the one before.
std::vector<Phase> make_phases(std::span<const TokenIds> prompts,
                               const std::vector<SharedPrefix>& shared) {
  std::vector<Phase> phases;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto index = static_cast<size_t>(shared[i].phase);
    if (phases.size() <= index) phases.resize(index + 1);
    phases[index].sequences.push_back(static_cast<int64_t>(i));
    phases[index].lengths.push_back(static_cast<int64_t>(prompts[i].size()) - shared[i].length);
  }
  return phases;
}

/// Copies the beginnings that the cache does not hold once.
void copy_shared_prefixes(const Phase& phase, const std::vector<SharedPrefix>& shared,
                          Destination& to) {
  for (int64_t sequence : phase.sequences) {
    const auto& prefix = shared[sequence];
    const int64_t row = to.rows[sequence];
    if (prefix.length > to.cache.beginning(row).length) {
      to.cache.copy_row(to.rows[prefix.source], row, prefix.length);
    }
  }
}

/// @param prompts  without the final tokens, where the first decode step does those
/// @return         what was computed, without times
RunStats run_phases(const Model& model, std::span<const TokenIds> prompts,
                    const std::vector<SharedPrefix>& shared, const PrefillOptions& options,
                    Destination& to) {
  std::vector<int64_t> first_positions;
  RunStats stats;
  for (const auto& prefix : shared) {
    first_positions.push_back(prefix.length);
    stats.shared_tokens += prefix.length;
  }
  for (auto& phase : make_phases(prompts, shared)) {
    copy_shared_prefixes(phase, shared, to);
    if (options.final_token == FinalToken::kFirstStep) {
      for (int64_t& length : phase.lengths) ++length;  // a plan leaves it out by itself
    }
    auto plan = plan_prefill(phase.lengths, options);
    for (auto& forward : plan.forwards) {
      for (auto& bin : forward.bins) {
        for (int64_t& index : bin) index = phase.sequences[index];
      }
      run_forward(
          model,
          make_packed_batch(prompts, forward.bins, layout_for(options.method), first_positions),
          options.method, to);
    }
    stats.computed_tokens += plan.computed_tokens;
    stats.num_rows += plan.num_rows;
    stats.num_forwards += std::ssize(plan.forwards);
  }
  synchronize(model.device());
  return stats;
}

/// Memory for the next-token logits of so many prompts.
at::Tensor empty_logits(const Model& model, int64_t num_prompts) {
  return scratch({num_prompts, model.config().vocab_size},
                 at::TensorOptions().dtype(at::kFloat).device(model.device()));
}

std::vector<TokenIds> without_final_tokens(std::span<const TokenIds> prompts) {
  std::vector<TokenIds> shorter;
  for (const auto& prompt : prompts) shorter.emplace_back(prompt.begin(), prompt.end() - 1);
  return shorter;
}

}  // namespace

std::vector<int64_t> prefix_classes(const ModelConfig& config, std::span<const TokenIds> prompts) {
  std::vector<int64_t> classes;
  for (const auto& prompt : prompts) {
    classes.push_back(rope_length_class(config.rope, std::ssize(prompt)));
  }
  return classes;
}

std::vector<SharedPrefix> find_prefixes(const ModelConfig& config,
                                        std::span<const TokenIds> prompts,
                                        const PrefillOptions& options) {
  if (!options.shares_prefixes) return std::vector<SharedPrefix>(prompts.size());
  const auto classes = prefix_classes(config, prompts);  // of whole prompts
  std::vector<TokenIds> shorter;
  if (options.final_token == FinalToken::kFirstStep) {
    prompts = shorter = without_final_tokens(prompts);
  }
  return find_shared_prefixes(prompts, kShortestSharedPrefix, classes);
}

bool caches_prefixes_once(at::Device device, const PrefillOptions& options) {
  return device.is_cpu() && !options.padded_cache;
}

std::optional<std::string> find_prompt_defect(const ModelConfig& config, const TokenIds& prompt) {
  if (prompt.empty()) return "is empty";
  if (static_cast<int64_t>(prompt.size()) > config.max_position_embeddings) {
    return fmt::format("has {} tokens, more than the model's max_position_embeddings of {}",
                       prompt.size(), config.max_position_embeddings);
  }
  for (TokenId id : prompt) {
    if (id < 0 || id >= config.vocab_size) {
      return fmt::format("has token id {}, outside the vocabulary of {}", id, config.vocab_size);
    }
  }
  return std::nullopt;
}

namespace {

/// Rows of their own lengths, where what reads the cache later can read those.
KvCache make_cache(const Model& model, std::span<const int64_t> row_capacities,
                   const std::vector<SharedPrefix>& shared, const PrefillOptions& options) {
  const auto& config = model.config();
  const bool is_read_by_rows =
      !options.padded_cache &&
      has_varlen_kernel(model.device(), to_scalar_type(model.dtype()), config.head_dim);
  std::vector<RowBeginning> beginnings(shared.size());
  if (caches_prefixes_once(model.device(), options)) {
    std::ranges::transform(shared, beginnings.begin(), [](const SharedPrefix& prefix) {
      return RowBeginning{prefix.source, prefix.length};
    });
  }
  const auto longest = row_capacities.empty() ? 0 : std::ranges::max(row_capacities);
  const auto is_longest = [&](int64_t slots) { return slots == longest; };
  const auto is_whole = [](const RowBeginning& beginning) { return beginning.length == 0; };
  if (is_read_by_rows && !(std::ranges::all_of(row_capacities, is_longest) &&
                           std::ranges::all_of(beginnings, is_whole))) {
    return KvCache(config, row_capacities, model.dtype(), model.device(), beginnings);
  }
  return KvCache(config, std::ssize(row_capacities), longest, model.dtype(), model.device(),
                 options.padded_cache ? CacheMemory::kPadded : CacheMemory::kExact);
}

DecodeState run_prefill(const Model& model, std::span<const TokenIds> prompts,
                        const PrefillOptions& options, std::span<const int64_t> row_capacities,
                        RunStats* stats) {
  const Stopwatch stopwatch;
  const auto& config = model.config();
  if (row_capacities.size() != prompts.size()) {
    throw InvalidArgument(fmt::format("prefill: {} cache rows for {} prompts",
                                      row_capacities.size(), prompts.size()));
  }
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (const auto defect = find_prompt_defect(config, prompts[i])) {
      throw InvalidArgument(fmt::format("prompt {} {}", i, *defect));
    }
    lengths.push_back(static_cast<int64_t>(prompts[i].size()));
    if (lengths.back() > row_capacities[i]) {
      throw InvalidArgument(
          fmt::format("prompt {} has {} tokens, more than the cache capacity of {}", i,
                      lengths.back(), row_capacities[i]));
    }
  }
  if (options.shares_prefixes) {
    if (options.method != PrefillMethod::kPacked) {
      throw InvalidArgument(
          fmt::format("prefill: prompts can share their beginnings in packed, not in {}",
                      to_string(options.method)));
    }
    // What will be planned is the rests of prompts. This names a prompt that does not fit by its
    // number among all; the packing does not matter.
    auto any_packing = options;
    any_packing.packing = {};
    plan_prefill(lengths, any_packing);
  }
  const auto num_prompts = static_cast<int64_t>(prompts.size());
  const auto shared = find_prefixes(config, prompts, options);
  DecodeState state{
      .cache = make_cache(model, row_capacities, shared, options),
      .lengths = lengths,
      .logits = {},
      .uses_graphs = options.uses_graphs,
  };
  std::vector<TokenIds> shorter;
  if (options.final_token == FinalToken::kFirstStep) {
    shorter = without_final_tokens(prompts);
    for (int64_t i = 0; i < num_prompts; ++i) {
      state.final_tokens.push_back(prompts[i].back());
      --state.lengths[i];
    }
    prompts = shorter;
  } else {
    state.logits = empty_logits(model, num_prompts);
  }
  std::vector<int64_t> rows(prompts.size());
  std::iota(rows.begin(), rows.end(), 0);
  const auto graphs = options.uses_graphs ? make_forward_graphs(model, state.cache) : nullptr;
  Destination to{state.cache, std::move(rows), state.logits, graphs.get()};
  auto run = run_phases(model, prompts, shared, options, to);
  if (stats != nullptr) {
    if (graphs != nullptr) run += graphs->stats();
    run.prefill_s = stopwatch.seconds();
    run.num_prompts = num_prompts;
    run.prompt_tokens = std::reduce(lengths.begin(), lengths.end());
    *stats += run;
  }
  return state;
}

}  // namespace

at::Tensor prefill_rows(const Model& model, std::span<const TokenIds> prompts,
                        const PrefillOptions& options, std::vector<int64_t> rows, KvCache& cache,
                        ForwardGraphs* graphs, RunStats& stats) {
  const Stopwatch stopwatch;
  Destination to{cache, std::move(rows), empty_logits(model, std::ssize(prompts)), graphs};
  const std::vector<SharedPrefix> nothing_shared(prompts.size());
  stats += run_phases(model, prompts, nothing_shared, options, to);
  stats.prefill_s += stopwatch.seconds();
  return to.logits;
}

DecodeState prefill(const Model& model, std::span<const TokenIds> prompts,
                    const PrefillOptions& options, int64_t cache_capacity, RunStats* stats) {
  const std::vector<int64_t> row_capacities(prompts.size(), cache_capacity);
  return prefill(model, prompts, options, row_capacities, stats);
}

DecodeState prefill(const Model& model, std::span<const TokenIds> prompts,
                    const PrefillOptions& options, std::span<const int64_t> row_capacities,
                    RunStats* stats) {
  return with_own_errors(
      [&] { return run_prefill(model, prompts, options, row_capacities, stats); });
}

}  // namespace prepack
