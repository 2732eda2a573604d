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

/// Every segment attends to its row of the cache, where its own keys have just been written.
VarlenAttention varlen_attention(const PackedBatch& batch, const KvCache& cache) {
  VarlenAttention spec{.cu_seqlens = batch.cu_seqlens, .first_keys = {}, .num_keys = {}};
  for (const auto& segment : batch.segments) {
    add_row_keys(cache, segment.sequence, segment.first_position + segment.length, spec);
  }
  return spec;
}

/// A dense form's.
AttentionSpec row_attention(const PackedBatch& batch, at::Device device) {
  if (batch.has_whole_rows()) return CausalAttention{batch.num_rows()};
  return MaskedAttention{independent_mask(batch.segment_ids.to(device))};
}

/// Where each prompt token of the batch belongs in the cache, computed once for all layers. On the
/// CPU yet; `tokens` undefined where there is no padding.
CacheSlots unpack_slots(const PackedBatch& batch, const KvCache& cache) {
  const int64_t num_tokens = batch.num_prompt_tokens();
  auto tokens = at::empty({num_tokens}, at::kLong);
  auto slots = at::empty({num_tokens}, at::kLong);
  auto* token = tokens.data_ptr<int64_t>();
  auto* slot = slots.data_ptr<int64_t>();
  for (const auto& segment : batch.segments) {
    const int64_t first_slot = cache.slot(segment.sequence, segment.first_position);
    for (int64_t i = 0; i < segment.length; ++i) {
      *token++ = batch.first_token(segment) + i;
      *slot++ = first_slot + i;
    }
  }
  const bool has_padding = num_tokens != batch.input_ids.numel();
  return {has_padding ? tokens : at::Tensor(), slots};
}

/// Tokens of the sequence that each token of the batch belongs to; 1 for padding.
std::vector<int64_t> sequence_lens(const PackedBatch& batch, int64_t num_following) {
  std::vector<int64_t> of_tokens(batch.input_ids.numel(), 1);
  for (const auto& segment : batch.segments) {
    std::fill_n(of_tokens.begin() + batch.first_token(segment), segment.length,
                segment.first_position + segment.length + num_following);
  }
  return of_tokens;
}

}  // namespace

BatchLayout layout_for(PrefillMethod method) {
  switch (method) {
    case PrefillMethod::kPacked:
      return BatchLayout::kFlat;
    case PrefillMethod::kPackedRows:
      return BatchLayout::kRows;
    case PrefillMethod::kPadded:
      break;
  }
  return BatchLayout::kLeftPaddedRows;
}

void add_row_keys(const KvCache& cache, int64_t row, int64_t num_keys, VarlenAttention& spec) {
  auto runs = cache.slot_runs(row, num_keys);
  spec.num_keys.push_back(num_keys);
  spec.first_keys.push_back(runs.back().first_slot);
  runs.pop_back();
  if (runs.empty()) return;
  spec.beginnings.resize(spec.num_keys.size());
  spec.beginnings.back() = std::move(runs);
}

ForwardInput host_forward_input(const PackedBatch& batch, const KvCache& cache,
                                int64_t num_following) {
  return {
      .input_ids = batch.input_ids.flatten(),
      .position_ids = batch.position_ids.flatten(),
      .attention = varlen_attention(batch, cache),
      .cache_slots = unpack_slots(batch, cache),
      .sequence_lens = sequence_lens(batch, num_following),
  };
}

ForwardInput forward_input(PrefillMethod method, const PackedBatch& batch, const KvCache& cache,
                           at::Device device, int64_t num_following) {
  if (method == PrefillMethod::kPacked) {
    return to_device(host_forward_input(batch, cache, num_following), device);
  }
  const auto where = unpack_slots(batch, cache);
  return {
      .input_ids = upload(batch.input_ids.flatten(), device),
      .position_ids = upload(batch.position_ids.flatten(), device),
      .attention = row_attention(batch, device),
      .cache_slots = {.tokens =
                          where.tokens.defined() ? upload(where.tokens, device) : at::Tensor(),
                      .slots = upload(where.slots, device)},
      .sequence_lens = sequence_lens(batch, num_following),
  };
}

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

/// One packed forward: fills the prompts' cache rows and their next-token logits.
/// @param graphs  null: none are used
void run_forward(const Model& model, const PackedBatch& batch, PrefillMethod method,
                 ForwardGraphs* graphs, DecodeState& state) {
  const auto device = model.device();
  const bool reads_logits = state.final_tokens.empty();
  const auto outputs = last_tokens(batch, reads_logits);
  std::vector<int64_t> sequences;
  for (const auto& segment : batch.segments) sequences.push_back(segment.sequence);
  const auto places = upload(at::tensor(sequences, at::kLong), device);
  if (graphs != nullptr && method == PrefillMethod::kPacked && reads_logits) {
    auto input = host_forward_input(batch, state.cache, 0);
    input.output_tokens = outputs;
    state.logits.index_copy_(0, places, graphs->compute(input));
    return;
  }
  // The first decode step does the final tokens that are left out here.
  auto input = forward_input(method, batch, state.cache, device, reads_logits ? 0 : 1);
  input.output_tokens = upload(outputs, device);
  const auto hidden = model.forward(input, state.cache);
  if (reads_logits) state.logits.index_copy_(0, places, model.compute_logits(hidden));
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
                          KvCache& cache) {
  for (int64_t sequence : phase.sequences) {
    const auto& prefix = shared[sequence];
    if (prefix.length > cache.beginning(sequence).length) {
      cache.copy_row(prefix.source, sequence, prefix.length);
    }
  }
}

/// @param prompts  without the final tokens, where the first decode step does those
/// @return         what was computed, without times
RunStats run_phases(const Model& model, std::span<const TokenIds> prompts,
                    const std::vector<SharedPrefix>& shared, const PrefillOptions& options,
                    DecodeState& state) {
  std::vector<int64_t> first_positions;
  RunStats stats;
  const auto graphs = options.uses_graphs ? make_forward_graphs(model, state.cache) : nullptr;
  for (const auto& prefix : shared) {
    first_positions.push_back(prefix.length);
    stats.shared_tokens += prefix.length;
  }
  for (auto& phase : make_phases(prompts, shared)) {
    copy_shared_prefixes(phase, shared, state.cache);
    if (options.final_token == FinalToken::kFirstStep) {
      for (int64_t& length : phase.lengths) ++length;  // a plan leaves it out by itself
    }
    auto plan = plan_prefill(phase.lengths, options);
    for (auto& forward : plan.forwards) {
      for (auto& bin : forward.bins) {
        for (int64_t& index : bin) index = phase.sequences[index];
      }
      const auto batch =
          make_packed_batch(prompts, forward.bins, layout_for(options.method), first_positions);
      run_forward(model, batch, options.method, graphs.get(), state);
    }
    stats.computed_tokens += plan.computed_tokens;
    stats.num_rows += plan.num_rows;
    stats.num_forwards += std::ssize(plan.forwards);
  }
  if (graphs != nullptr) stats += graphs->stats();
  return stats;
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
    state.logits = scratch({num_prompts, config.vocab_size},
                           at::TensorOptions().dtype(at::kFloat).device(model.device()));
  }
  const auto computed = run_phases(model, prompts, shared, options, state);
  synchronize(model.device());
  if (stats != nullptr) {
    stats->prefill_s += stopwatch.seconds();
    stats->num_prompts += num_prompts;
    stats->prompt_tokens += std::reduce(lengths.begin(), lengths.end());
    *stats += computed;
  }
  return state;
}

}  // namespace

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
