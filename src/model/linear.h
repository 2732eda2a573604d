#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>

#include <optional>

namespace prepack {

/// y = x * weight^T + bias.
struct Linear {
  at::Tensor weight;               // [out_features, in_features]
  std::optional<at::Tensor> bias;  // [out_features]

  /// @param input  [num_tokens, in_features]
  /// @return       [num_tokens, out_features]
  at::Tensor operator()(const at::Tensor& input) const { return at::linear(input, weight, bias); }
};

}  // namespace prepack
