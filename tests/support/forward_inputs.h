#pragma once

#include <ATen/ops/tensor.h>

#include <cstdint>
#include <vector>

#include "prepack/model.h"
#include "prepack/token.h"
#include "support/random.h"

namespace prepack::testing {

// Forwards with VarlenAttention, on the CPU yet.

/// Whole prompts, each in the cache row of its number, whose last tokens are read.
inline ForwardInput prompt_input(const std::vector<TokenIds>& prompts, const KvCache& cache) {
  std::vector<int64_t> ids;
  std::vector<int64_t> positions;
  std::vector<int64_t> slots;
  std::vector<int64_t> outputs;
  VarlenAttention attention{.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t first = cache.first_slot(static_cast<int64_t>(i));
    for (size_t j = 0; j < prompts[i].size(); ++j) {
      ids.push_back(prompts[i][j]);
      positions.push_back(static_cast<int64_t>(j));
      slots.push_back(first + static_cast<int64_t>(j));
    }
    attention.cu_seqlens.push_back(static_cast<int32_t>(ids.size()));
    attention.first_keys.push_back(first);
    attention.num_keys.push_back(std::ssize(prompts[i]));
    outputs.push_back(std::ssize(ids) - 1);
  }
  ForwardInput input;
  input.input_ids = at::tensor(ids, at::kLong);
  input.position_ids = at::tensor(positions, at::kLong);
  input.attention = attention;
  input.cache_slots.slots = at::tensor(slots, at::kLong);
  input.output_tokens = at::tensor(outputs, at::kLong);
  input.sequence_lens.resize(ids.size(), 1);
  return input;
}

/// One new token for each row, behind `lengths` others.
inline ForwardInput step_input(const std::vector<int64_t>& rows,
                               const std::vector<int64_t>& lengths, const KvCache& cache,
                               Random& random, int64_t vocab_size) {
  std::vector<int64_t> slots;
  VarlenAttention attention{.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
  for (size_t i = 0; i < rows.size(); ++i) {
    slots.push_back(cache.first_slot(rows[i]) + lengths[i]);
    attention.first_keys.push_back(cache.first_slot(rows[i]));
    attention.num_keys.push_back(lengths[i] + 1);
    attention.cu_seqlens.push_back(static_cast<int32_t>(i) + 1);
  }
  ForwardInput input;
  input.input_ids = at::tensor(random.integers(std::ssize(rows), 0, vocab_size - 1), at::kLong);
  input.position_ids = at::tensor(lengths, at::kLong);
  input.attention = attention;
  input.cache_slots.slots = at::tensor(slots, at::kLong);
  input.sequence_lens.resize(rows.size(), 1);
  return input;
}

}  // namespace prepack::testing
