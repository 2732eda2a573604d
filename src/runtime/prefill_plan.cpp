#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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
  const auto plan = pack(lengths, options.token_budget, options.packing);
  std::vector<PackingPlan> forwards;
  for (const auto& bin : plan.bins) forwards.push_back({plan.capacity, {bin}});
  return forwards;
}

std::vector<PackingPlan> row_forwards(std::span<const int64_t> lengths,
                                      const PrefillOptions& options) {
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  const auto plan = pack(lengths, longest, options.packing);
  const auto rows_per_forward = static_cast<size_t>(options.token_budget / longest);
  std::vector<PackingPlan> forwards;
  for (size_t row = 0; row < plan.bins.size(); ++row) {
    if (row % rows_per_forward == 0) forwards.push_back({longest, {}});
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

}  // namespace

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

PrefillPlan plan_prefill(std::span<const int64_t> lengths, const PrefillOptions& options) {
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1) throw InvalidArgument(fmt::format("prompt {} is empty", i));
    if (lengths[i] > options.token_budget) {
      throw InvalidArgument(
          fmt::format("prompt {} has {} tokens, more than the token budget of {} for one forward",
                      i, lengths[i], options.token_budget));
    }
  }
  PrefillPlan plan;
  plan.method = options.method;
  if (lengths.empty()) return plan;
  plan.forwards = make_forwards(lengths, options);
  for (const auto& forward : plan.forwards) {
    const auto num_rows = static_cast<int64_t>(forward.bins.size());
    int64_t row_len = 0;
    for (const auto& bin : forward.bins) {
      const int64_t used = used_tokens(bin, lengths);
      plan.prompt_tokens += used;
      row_len = std::max(row_len, used);
    }
    plan.num_rows += num_rows;
    plan.computed_tokens += num_rows * row_len;
    plan.max_forward_tokens = std::max(plan.max_forward_tokens, num_rows * row_len);
    if (options.method != PrefillMethod::kPacked) {
      plan.max_mask_elements = std::max(plan.max_mask_elements, num_rows * row_len * row_len);
    }
  }
  return plan;
}

}  // namespace prepack
