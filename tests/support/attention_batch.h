#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "prepack/attention.h"
#include "support/random.h"

namespace prepack::testing {

struct HeadShape {
  int64_t num_kv_heads;
  int64_t group;
  int64_t head_dim;
};

struct Lengths {
  int64_t num_queries;
  int64_t num_keys;
};

/// What varlen attention reads.
struct AttentionBatch {
  at::Tensor queries;  // [num_tokens, num_heads, head_dim]
  at::Tensor keys;     // [num_slots, num_kv_heads, head_dim]
  at::Tensor values;   // [num_slots, num_kv_heads, head_dim]
  VarlenAttention spec;
};

/// Sequences whose keys lie in any order, with gaps. What is not theirs is NaN.
AttentionBatch make_batch(Random& random, const HeadShape& shape,
                          const std::vector<Lengths>& lengths, at::ScalarType dtype = at::kFloat,
                          int64_t window = kNoWindow);

/// The same sequences, but that each has up to three runs of its first keys anywhere, in what other
/// sequences have or in its own.
AttentionBatch with_beginnings(Random& random, AttentionBatch batch);

at::Tensor attend(const AttentionBatch& batch);

/// The rows of one sequence.
/// @param all  queries, or what they attend to
at::Tensor of_sequence(const AttentionBatch& batch, const at::Tensor& all, size_t sequence);

at::Tensor naive_attention(const AttentionBatch& batch);

HeadShape random_shape(Random& random);

std::string describe(const HeadShape& shape, const std::vector<Lengths>& lengths,
                     int64_t window = kNoWindow);

}  // namespace prepack::testing
