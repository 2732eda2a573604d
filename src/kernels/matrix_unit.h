#pragma once

namespace prepack {

/// Whether the CPU multiplies tiles of bfloat16 and of bytes (AMX) and the system lets this process
/// do so, which is asked for by the first call.
bool has_matrix_unit();

}  // namespace prepack
