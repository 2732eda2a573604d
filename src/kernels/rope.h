#pragma once

#include <cstdint>

#include "prepack/dtype.h"

namespace prepack {

/// Turns the heads of one token by its position: dimension i of a head with i + rotary_dim / 2.
/// Computed in float32. Ref: Su et al. (arXiv:2104.09864); transformers apply_rotary_pos_emb.
/// @param dtype       of heads and out
/// @param heads       [num_heads, head_dim]
/// @param cos, sin    [rotary_dim / 2] float32, of the token's position
/// @param out         [num_heads, head_dim]; may be `heads`
/// @param rotary_dim  even; a head's other dimensions, behind these, are not written
void turn_heads(DType dtype, const void* heads, const float* cos, const float* sin, void* out,
                int64_t num_heads, int64_t head_dim, int64_t rotary_dim);

}  // namespace prepack
