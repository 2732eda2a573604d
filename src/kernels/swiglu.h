#pragma once

#include <cstdint>

#include "prepack/dtype.h"

namespace prepack {

/// silu(gate) * up, of rows that hold first the gates and then the ups, as one fused product writes
/// them. Computed in float32. Ref: Shazeer (arXiv:2002.05202)
/// @param dtype    of both
/// @param gate_up  [num_rows, 2 * size]
/// @param out      [num_rows, size]
void swiglu(DType dtype, const void* gate_up, void* out, int64_t num_rows, int64_t size);

}  // namespace prepack
