#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

/// silu(gate) * up. Ref: Shazeer (arXiv:2002.05202).
/// @param gate_up  [num_tokens, 2 * size] contiguous: first the gates, then the ups
/// @param gated    [num_tokens, size] contiguous, the result
void swiglu(const at::Tensor& gate_up, const at::Tensor& gated);

}  // namespace prepack
