#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/kv_cache.h"
#include "prepack/model.h"
#include "prepack/packing.h"
#include "prepack/run_stats.h"
#include "prepack/shared_prefix.h"
#include "prepack/token.h"

namespace prepack {

/// How prompts of different lengths share a forward.
enum class PrefillMethod {
  kPacked,      // one after the other in flat form, attention per segment (varlen)
  kPackedRows,  // in rows as long as the longest prompt, under the dense independent mask: the
                // paper's
  kPadded,      // one row each, padded on the left to the longest: the baseline
};

/// "packed", "packed-rows" or "padded".
std::string_view to_string(PrefillMethod method);

/// @throws InvalidArgument for an unknown name
PrefillMethod parse_prefill_method(std::string_view name);

/// Where the final token of each prompt, whose hidden state gives the first logits, is computed.
enum class FinalToken {
  kPrefill,    // with the others: prefill ends with the logits
  kFirstStep,  // by the first decode step, as in the paper: prefill ends with the keys and values
};

/// "prefill" or "first-step".
std::string_view to_string(FinalToken place);

/// @throws InvalidArgument for an unknown name
FinalToken parse_final_token(std::string_view name);

struct PrefillOptions {
  PrefillMethod method = PrefillMethod::kPacked;
  PackingOptions packing = {};
  int64_t token_budget = 4096;  // tokens of one forward at most, padding included; see
                                // `default_token_budget` for what is fastest
  int64_t capacity = 0;         // tokens of a bin; 0: for packed the token budget, for packed-rows
                                // the longest prompt, as in the paper
  FinalToken final_token = FinalToken::kPrefill;
  bool shares_prefixes = false;  // packed only: beginnings that prompts have in common are computed
                                 // once; where RoPE depends on the length, between prompts whose
                                 // keys turn alike
  bool padded_cache = false;     // CacheMemory::kPadded, as in ordinary batching
  bool uses_graphs = true;       // on a GPU: forwards of one shape, and decode steps, are recorded
                                 // when they come again, and replayed from then on
};

/// The forwards of one prefill. Made from lengths alone: neither a model nor tensors are needed.
struct PrefillPlan {
  PrefillMethod method = PrefillMethod::kPacked;
  std::vector<PackingPlan>
      forwards;                 // forwards[f].bins = rows (for kPacked: the one bin) of forward f
  int64_t prompt_tokens = 0;    // without the final ones, where the first decode step does those
  int64_t computed_tokens = 0;  // padding included
  int64_t num_rows = 0;         // over all forwards
  int64_t max_forward_tokens = 0;  // computed tokens of the largest forward
  int64_t max_mask_elements = 0;   // num_rows * row_len^2 of the largest dense mask; 0 for kPacked
  int64_t max_row_len = 0;         // of the dense forms' rows; 0 for kPacked
  Optimality optimality = Optimality::kUnknown;  // of the bins; unknown for kPadded
};

/// Floating-point operations of the prefill of one prompt, for `PackingOptions::balance`: products
/// grow with the prompt, causal attention with its square.
SegmentCost prefill_cost(const ModelConfig& config);

/// Chooses what is computed together.
/// - packed: each bin one forward.
/// - packed-rows: each bin a row, as many rows to a forward as the budget allows.
/// - padded: consecutive prompts, as many to a forward as the budget allows.
/// Where the first decode step does the final tokens, a prompt of one token is in no forward.
/// @param lengths  tokens of each prompt, the final one included
/// @throws InvalidArgument naming the first prompt that is empty or longer than the budget, and for
///         a capacity that holds less than the longest prompt or more than the budget
PrefillPlan plan_prefill(std::span<const int64_t> lengths, const PrefillOptions& options);

/// Which prompts may share beginnings: those of one class, whose keys RoPE turns by the same
/// frequencies.
/// @return one per prompt
std::vector<int64_t> prefix_classes(const ModelConfig& config, std::span<const TokenIds> prompts);

/// The beginnings that a prefill of these prompts computes once: none where the options share none.
/// @return one per prompt
std::vector<SharedPrefix> find_prefixes(const ModelConfig& config,
                                        std::span<const TokenIds> prompts,
                                        const PrefillOptions& options);

/// Whether the cache holds such a beginning once, in the row of one of its prompts, which the
/// others' attention reads too. Padded rows each have a copy, and those on a GPU, where attention
/// reads one run of slots for each sequence.
bool caches_prefixes_once(at::Device device, const PrefillOptions& options);

/// What every prefill returns and `decode` starts from, whatever the method.
struct DecodeState {
  KvCache cache;                 // row i: the keys and values of prompt i
  std::vector<int64_t> lengths;  // tokens in each row
  at::Tensor logits;             // [num_prompts, vocab_size] float32: of each prompt's next token;
                                 // undefined while there are final tokens
  TokenIds final_tokens = {};    // of each prompt, if the first decode step is to do them
  bool uses_graphs = false;      // as PrefillOptions

  /// Tokens of a prompt that is not yet decoded, the final one included.
  int64_t prompt_len(int64_t prompt) const {
    return lengths[prompt] + (final_tokens.empty() ? 0 : 1);
  }
};

/// Says what is wrong with a prompt ("is empty", "has 9000 tokens, more than ..."), if anything:
/// it must have 1 to max_position_embeddings tokens, all inside the vocabulary.
std::optional<std::string> find_prompt_defect(const ModelConfig& config, const TokenIds& prompt);

/// Runs every prompt through the model and unpacks its keys and values, in the caller's order.
/// @param cache_capacity  slots of each cache row: the longest prompt and what it may generate
/// @param stats  if given, prefill_s and the counts are added to it
/// @throws InvalidArgument naming the first defective prompt (counted from 0), and for options that
///         the method does not have
/// @throws OutOfMemory where caches or activations do not fit
/// Ref: Prepacking (arXiv:2404.09529), section 3
DecodeState prefill(const Model& model, std::span<const TokenIds> prompts,
                    const PrefillOptions& options, int64_t cache_capacity,
                    RunStats* stats = nullptr);

/// The same with cache rows of their own lengths, so that no slot is allocated in vain. Where
/// decode steps read padded rows, they are all as long as the longest.
/// @param row_capacities  one per prompt: its tokens and those it may generate
DecodeState prefill(const Model& model, std::span<const TokenIds> prompts,
                    const PrefillOptions& options, std::span<const int64_t> row_capacities,
                    RunStats* stats = nullptr);

}  // namespace prepack
