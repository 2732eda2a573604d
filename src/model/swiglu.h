#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

/// silu(gate) * up. Ref: Shazeer (arXiv:2002.05202).
/// @param gate_up  [num_tokens, 2 * size] contiguous: first the gates, then the ups
/// @return         [num_tokens, size]
at::Tensor swiglu(const at::Tensor& gate_up);

}  // namespace prepack
