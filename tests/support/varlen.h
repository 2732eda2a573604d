#pragma once

#include <cstdint>
#include <vector>

#include "prepack/attention.h"

namespace prepack::testing {

/// Segments whose keys lie as their queries do, one segment behind the other.
inline VarlenAttention varlen_attention(std::vector<int32_t> cu_seqlens) {
  VarlenAttention spec{.cu_seqlens = std::move(cu_seqlens), .first_keys = {}, .num_keys = {}};
  for (size_t s = 0; s + 1 < spec.cu_seqlens.size(); ++s) {
    spec.first_keys.push_back(spec.cu_seqlens[s]);
    spec.num_keys.push_back(spec.cu_seqlens[s + 1] - spec.cu_seqlens[s]);
  }
  return spec;
}

inline VarlenAttention varlen_attention(const std::vector<int64_t>& lengths) {
  std::vector<int32_t> cu_seqlens = {0};
  for (int64_t length : lengths) {
    cu_seqlens.push_back(cu_seqlens.back() + static_cast<int32_t>(length));
  }
  return varlen_attention(std::move(cu_seqlens));
}

/// What ForwardInput::sequence_lens is for whole prompts, one behind the other.
inline std::vector<int64_t> sequence_lens(const std::vector<int32_t>& cu_seqlens) {
  std::vector<int64_t> of_tokens;
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    const int64_t length = cu_seqlens[s + 1] - cu_seqlens[s];
    of_tokens.insert(of_tokens.end(), length, length);
  }
  return of_tokens;
}

}  // namespace prepack::testing
