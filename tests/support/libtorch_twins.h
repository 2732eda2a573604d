#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>

#include <cstdint>

namespace prepack::testing {

// What the GPU's kernels compute, by LibTorch's operators and in float64.

/// @param heads  [num_tokens, num_heads, size]
inline at::Tensor plain_rms_norm(const at::Tensor& heads, const at::Tensor& weight, double eps) {
  return at::rms_norm(heads.to(at::kDouble), {heads.size(-1)}, weight.to(at::kDouble), eps);
}

/// @param gate_up  [num_tokens, 2 * size]
inline at::Tensor plain_swiglu(const at::Tensor& gate_up) {
  const auto halves = gate_up.to(at::kDouble).chunk(2, 1);
  return at::silu(halves[0]).mul(halves[1]);
}

/// The first heads turned, the others as they were.
/// @param heads     [num_tokens, num_heads, head_dim]
/// @param cos, sin  [num_tokens, half]
inline at::Tensor plain_rope(const at::Tensor& heads, int64_t num_turned, const at::Tensor& cos,
                             const at::Tensor& sin) {
  const int64_t half = cos.size(1);
  auto turned = heads.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  const auto c = cos.to(at::kDouble).unsqueeze(1);
  const auto s = sin.to(at::kDouble).unsqueeze(1);
  const auto first = turned.narrow(1, 0, num_turned).narrow(2, 0, half);
  const auto second = turned.narrow(1, 0, num_turned).narrow(2, half, half);
  const auto turned_first = first.mul(c).sub(second.mul(s));
  second.copy_(second.mul(c).add(first.mul(s)));
  first.copy_(turned_first);
  return turned;
}

}  // namespace prepack::testing
