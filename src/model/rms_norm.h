#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

/// Root-mean-square normalisation: x / sqrt(mean(x^2) + eps) * weight, computed in float32.
/// Ref: Zhang and Sennrich (arXiv:1910.07467); transformers LlamaRMSNorm.
struct RmsNorm {
  at::Tensor weight;  // [size]: hidden_size, or head_dim
  double eps = 0;

  /// @param input  [num_tokens, size]
  at::Tensor operator()(const at::Tensor& input) const;

  /// The same into `normed`.
  /// @param input, normed  [num_tokens, size] contiguous
  void write_to(const at::Tensor& input, const at::Tensor& normed) const;

  /// Each head of each token by itself, in place.
  /// @param heads  [num_tokens, num_heads, size]; the heads of one token must lie together
  void normalise_heads(const at::Tensor& heads) const;
};

}  // namespace prepack
