#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

/// Root-mean-square normalisation: x / sqrt(mean(x^2) + eps) * weight, computed in float32.
/// Ref: Zhang and Sennrich (arXiv:1910.07467); transformers LlamaRMSNorm.
struct RmsNorm {
  at::Tensor weight;  // [hidden_size]
  double eps = 0;

  /// @param input  [num_tokens, hidden_size]
  at::Tensor operator()(const at::Tensor& input) const;
};

}  // namespace prepack
