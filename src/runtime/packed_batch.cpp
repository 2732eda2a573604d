#include "prepack/packed_batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "prepack/error.h"

namespace prepack {
namespace {

int64_t prompt_length(std::span<const TokenIds> prompts, int64_t sequence) {
  if (sequence < 0 || sequence >= static_cast<int64_t>(prompts.size())) {
    throw InvalidArgument(
        fmt::format("packing plan: sequence {} of {} prompts", sequence, prompts.size()));
  }
  if (prompts[sequence].empty()) throw InvalidArgument(fmt::format("prompt {} is empty", sequence));
  return static_cast<int64_t>(prompts[sequence].size());
}

/// Places every sequence; returns the length of the rows.
int64_t place_segments(std::span<const TokenIds> prompts,
                       std::span<const std::vector<int64_t>> bins, BatchLayout layout,
                       std::span<const int64_t> first_positions, std::vector<Segment>& segments) {
  std::vector<int64_t> used;  // tokens of each row so far
  for (const auto& bin : bins) {
    if (layout != BatchLayout::kFlat || used.empty()) used.push_back(0);
    for (int64_t sequence : bin) {
      const int64_t whole_length = prompt_length(prompts, sequence);
      const int64_t first_position = first_positions.empty() ? 0 : first_positions[sequence];
      const int64_t length = whole_length - first_position;
      if (length < 1) {
        throw InvalidArgument(
            fmt::format("prompt {}: {} of its {} tokens are said to be in the cache", sequence,
                        first_position, whole_length));
      }
      segments.push_back(
          {sequence, static_cast<int64_t>(used.size()) - 1, used.back(), length, first_position});
      used.back() += length;
    }
  }
  const int64_t row_len = used.empty() ? 0 : *std::max_element(used.begin(), used.end());
  if (layout == BatchLayout::kLeftPaddedRows) {
    for (auto& segment : segments) segment.offset += row_len - used[segment.row];
  }
  return row_len;
}

}  // namespace

PackedBatch make_packed_batch(std::span<const TokenIds> prompts,
                              std::span<const std::vector<int64_t>> bins, BatchLayout layout,
                              std::span<const int64_t> first_positions) {
  if (!first_positions.empty() && first_positions.size() != prompts.size()) {
    throw InvalidArgument(fmt::format("packed batch: {} first positions for {} prompts",
                                      first_positions.size(), prompts.size()));
  }
  PackedBatch batch;
  const int64_t row_len = place_segments(prompts, bins, layout, first_positions, batch.segments);
  const int64_t num_rows = layout == BatchLayout::kFlat ? 1 : static_cast<int64_t>(bins.size());
  batch.input_ids = at::zeros({num_rows, row_len}, at::kLong);
  batch.position_ids = at::zeros({num_rows, row_len}, at::kLong);
  batch.segment_ids = at::full({num_rows, row_len}, -1, at::kInt);
  batch.cu_seqlens.push_back(0);
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    const auto& segment = batch.segments[s];
    const int64_t first = batch.first_token(segment);
    const auto& prompt = prompts[segment.sequence];
    std::copy(prompt.begin() + segment.first_position, prompt.end(),
              batch.input_ids.data_ptr<int64_t>() + first);
    auto* positions = batch.position_ids.data_ptr<int64_t>() + first;
    std::iota(positions, positions + segment.length, segment.first_position);
    std::fill_n(batch.segment_ids.data_ptr<int32_t>() + first, segment.length,
                static_cast<int32_t>(s));
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + static_cast<int32_t>(segment.length));
  }
  return batch;
}

at::Tensor independent_mask(const at::Tensor& segment_ids) {
  const int64_t row_len = segment_ids.size(1);
  const auto place = at::arange(row_len, segment_ids.options().dtype(at::kLong));
  const auto query_place = place.view({1, row_len, 1});
  const auto key_place = place.view({1, 1, row_len});
  const auto query_segment = segment_ids.unsqueeze(2);
  const auto key_segment = segment_ids.unsqueeze(1);
  auto mask = query_segment.eq(key_segment)
                  .logical_and_(key_place.le(query_place))
                  .logical_and_(query_segment.ge(0))
                  .logical_or_(query_place.eq(key_place));
  return mask.unsqueeze(1);
}

}  // namespace prepack
