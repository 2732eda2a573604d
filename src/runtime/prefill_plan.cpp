#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "model/product_shapes.h"
#include "prepack/error.h"
#include "prepack/prefill.h"

namespace prepack {
namespace {

int64_t used_tokens(const std::vector<int64_t>& bin, std::span<const int64_t> lengths) {
  return std::accumulate(bin.begin(), bin.end(), int64_t{0},
                         [&](int64_t sum, int64_t sequence) { return sum + lengths[sequence]; });
}

/// One forward per bin; its rows are not padded.
std::vector<PackingPlan> flat_forwards(std::span<const int64_t> lengths,
                                       const PrefillOptions& options) {
  const int64_t capacity = options.capacity > 0 ? options.capacity : options.token_budget;
  const auto plan = pack(lengths, capacity, options.packing);
  std::vector<PackingPlan> forwards;
  for (const auto& bin : plan.bins) forwards.push_back({plan.capacity, {bin}, plan.optimality});
  return forwards;
}

std::vector<PackingPlan> row_forwards(std::span<const int64_t> lengths,
                                      const PrefillOptions& options) {
  const int64_t capacity =
      options.capacity > 0 ? options.capacity : *std::ranges::max_element(lengths);
  const auto plan = pack(lengths, capacity, options.packing);
  const auto rows_per_forward = static_cast<size_t>(options.token_budget / capacity);
  std::vector<PackingPlan> forwards;
  for (size_t row = 0; row < plan.bins.size(); ++row) {
    if (row % rows_per_forward == 0) forwards.push_back({capacity, {}, plan.optimality});
    forwards.back().bins.push_back(plan.bins[row]);
  }
  return forwards;
}

std::vector<PackingPlan> padded_forwards(std::span<const int64_t> lengths,
                                         const PrefillOptions& options) {
  std::vector<PackingPlan> forwards;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t row_len =
        forwards.empty() ? lengths[i] : std::max(forwards.back().capacity, lengths[i]);
    if (forwards.empty() ||
        row_len * static_cast<int64_t>(forwards.back().bins.size() + 1) > options.token_budget) {
      forwards.push_back({lengths[i], {}});
    } else {
      forwards.back().capacity = row_len;
    }
    forwards.back().bins.push_back({static_cast<int64_t>(i)});
  }
  return forwards;
}

std::vector<PackingPlan> make_forwards(std::span<const int64_t> lengths,
                                       const PrefillOptions& options) {
  switch (options.method) {
    case PrefillMethod::kPacked:
      return flat_forwards(lengths, options);
    case PrefillMethod::kPackedRows:
      return row_forwards(lengths, options);
    case PrefillMethod::kPadded:
      return padded_forwards(lengths, options);
  }
  throw InvalidArgument("prefill method: not one of the enumerators");
}

/// What the forwards compute of the prompts.
struct ForwardLengths {
  std::vector<int64_t> sequences;  // prompts of which they compute anything
  std::vector<int64_t> lengths;    // tokens of each
};

ForwardLengths forward_lengths(std::span<const int64_t> lengths, const PrefillOptions& options) {
  ForwardLengths computed;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1) throw InvalidArgument(fmt::format("prompt {} is empty", i));
    const int64_t length = lengths[i] - (options.final_token == FinalToken::kFirstStep ? 1 : 0);
    if (length > options.token_budget) {
      throw InvalidArgument(
          fmt::format("prompt {} has {} tokens, more than the token budget of {} for one forward",
                      i, lengths[i], options.token_budget));
    }
    if (length == 0) continue;
    computed.sequences.push_back(static_cast<int64_t>(i));
    computed.lengths.push_back(length);
  }
  return computed;
}

void check_capacity(const PrefillOptions& options, int64_t longest) {
  if (options.capacity == 0 || options.method == PrefillMethod::kPadded) return;
  if (options.capacity < longest || options.capacity > options.token_budget) {
    throw InvalidArgument(fmt::format(
        "capacity: expected {} (the longest prompt) to {} tokens (the token budget), got {}",
        longest, options.token_budget, options.capacity));
  }
}

}  // namespace

std::string_view to_string(FinalToken place) {
  return place == FinalToken::kPrefill ? "prefill" : "first-step";
}

FinalToken parse_final_token(std::string_view name) {
  for (auto place : {FinalToken::kPrefill, FinalToken::kFirstStep}) {
    if (name == to_string(place)) return place;
  }
  throw InvalidArgument(fmt::format("final token: expected prefill or first-step, got {}", name));
}

std::string_view to_string(PrefillMethod method) {
  switch (method) {
    case PrefillMethod::kPacked:
      return "packed";
    case PrefillMethod::kPackedRows:
      return "packed-rows";
    case PrefillMethod::kPadded:
      return "padded";
  }
  throw InvalidArgument("prefill method: not one of the enumerators");
}

PrefillMethod parse_prefill_method(std::string_view name) {
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    if (name == to_string(method)) return method;
  }
  throw InvalidArgument(
      fmt::format("prefill method: expected packed, packed-rows or padded, got {}", name));
}

SegmentCost prefill_cost(const ModelConfig& config) {
  const int64_t query_size = config.num_heads * config.head_dim;
  int64_t weights = 0;  // of a layer's products, two operations each
  for (const auto& [out_features, in_features] : layer_products(config)) {
    weights += out_features * in_features;
  }
  return {
      .linear = static_cast<double>(2 * config.num_layers * weights),
      // Scores and their sum with the values, over half of the square; as if there were no windows,
      // which prompts are mostly shorter than.
      .quadratic = static_cast<double>(2 * config.num_layers * query_size),
  };
}

PrefillPlan plan_prefill(std::span<const int64_t> lengths, const PrefillOptions& options) {
  const auto computed = forward_lengths(lengths, options);
  PrefillPlan plan;
  plan.method = options.method;
  if (computed.lengths.empty()) return plan;
  check_capacity(options, *std::ranges::max_element(computed.lengths));
  plan.forwards = make_forwards(computed.lengths, options);
  plan.optimality = plan.forwards.front().optimality;
  for (auto& forward : plan.forwards) {
    const auto num_rows = static_cast<int64_t>(forward.bins.size());
    int64_t row_len = 0;
    int64_t num_segments = 0;
    int64_t num_used = 0;
    for (auto& bin : forward.bins) {
      const int64_t used = used_tokens(bin, computed.lengths);
      num_used += used;
      num_segments += static_cast<int64_t>(bin.size());
      row_len = std::max(row_len, used);
      for (auto& sequence : bin) sequence = computed.sequences[sequence];
    }
    plan.prompt_tokens += num_used;
    plan.num_rows += num_rows;
    plan.computed_tokens += num_rows * row_len;
    plan.max_forward_tokens = std::max(plan.max_forward_tokens, num_rows * row_len);
    if (options.method == PrefillMethod::kPacked) continue;
    plan.max_row_len = std::max(plan.max_row_len, row_len);
    // Rows that are one prompt each, without padding, need no mask.
    const bool has_whole_rows = num_segments == num_rows && num_used == num_rows * row_len;
    if (!has_whole_rows) {
      plan.max_mask_elements = std::max(plan.max_mask_elements, num_rows * row_len * row_len);
    }
  }
  return plan;
}

}  // namespace prepack
