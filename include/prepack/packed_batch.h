#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "prepack/packing.h"
#include "prepack/token.h"

namespace prepack {

/// Where one prompt lies in a packed batch.
struct Segment {
  int64_t sequence;  // index of the prompt, in the caller's order
  int64_t row;
  int64_t offset;              // of its first token in the row
  int64_t length;              // tokens
  int64_t first_position = 0;  // of its first token in the prompt: those before are in the cache
};

/// How bins become rows of tokens.
enum class BatchLayout {
  kFlat,            // all segments one after the other in a single row; no padding
  kRows,            // one row per bin, padded at its end to the longest row
  kLeftPaddedRows,  // one row per bin, padded at its beginning
};

/// Several prompts in one tensor. Rows are padded with token 0 where `segment_ids` is -1.
///
/// Example: prompts of lengths {2, 5, 3}, bins {{1}, {2, 0}}, layout kRows:
///     segment_ids  [[0, 0, 0, 0, 0],     position_ids  [[0, 1, 2, 3, 4],
///                   [1, 1, 1, 2, 2]]                     [0, 1, 2, 0, 1]]
///     segments     {sequence 1, row 0, offset 0, length 5},
///                  {sequence 2, row 1, offset 0, length 3}, {sequence 0, row 1, offset 3, length
///                  2}
///     cu_seqlens   [0, 5, 8, 10]
struct PackedBatch {
  at::Tensor input_ids;             // [num_rows, row_len] int64
  at::Tensor position_ids;          // [num_rows, row_len] int64; restart in each segment
  at::Tensor segment_ids;           // [num_rows, row_len] int32; index into segments, -1: padding
  std::vector<int32_t> cu_seqlens;  // [num_segments + 1]; padding excluded
  std::vector<Segment> segments;    // in the order of the rows, and along each row

  int64_t num_rows() const { return input_ids.size(0); }
  int64_t row_len() const { return input_ids.size(1); }
  int64_t num_prompt_tokens() const { return cu_seqlens.back(); }

  /// Whether every row is one segment and nothing else: neither packed nor padded.
  bool has_whole_rows() const {
    return static_cast<int64_t>(segments.size()) == num_rows() &&
           num_prompt_tokens() == num_rows() * row_len();
  }

  /// The place of a segment's first token in the batch, counted over all rows.
  int64_t first_token(const Segment& segment) const {
    return segment.row * row_len() + segment.offset;
  }
};

/// Lays out the prompts of `bins` (indices into `prompts`).
/// @param first_positions  tokens of each prompt that the cache has already, and that are left out;
///                         empty: none of any
/// @throws InvalidArgument if a bin names a prompt that does not exist or of which nothing is left
/// Ref: Prepacking (arXiv:2404.09529), section 3.2
PackedBatch make_packed_batch(std::span<const TokenIds> prompts,
                              std::span<const std::vector<int64_t>> bins, BatchLayout layout,
                              std::span<const int64_t> first_positions = {});

/// The independent (block-diagonal causal) mask: token i may attend to token j of its row if both
/// belong to the same segment and j <= i. Padding attends to itself alone, because a query
/// that may attend to nothing gives NaN.
/// @param segment_ids  [num_rows, row_len]
/// @return [num_rows, 1, row_len, row_len] bool, true: may attend
/// Ref: Prepacking (arXiv:2404.09529), section 3.2
at::Tensor independent_mask(const at::Tensor& segment_ids);

}  // namespace prepack
