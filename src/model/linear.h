#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>

#include <optional>

namespace prepack {

/// y = x * weight^T + bias.
struct Linear {
  at::Tensor weight;               // [out_features, in_features]
  std::optional<at::Tensor> bias;  // [out_features]

  at::Tensor operator()(const at::Tensor& input) const {
    return at::linear(input, weight.to(input.scalar_type()), bias);
  }
  void add_to(const at::Tensor& input, at::Tensor& sum) const { sum.add_((*this)(input)); }
  Linear rows(int64_t first, int64_t count) const {
    Linear part{weight.narrow(0, first, count), {}};
    if (bias) part.bias = bias->narrow(0, first, count);
    return part;
  }
};

}  // namespace prepack
