#pragma once

#include <cstddef>
#include <cstdint>

#include "weights/tensor_info.h"

namespace prepack {

/// Widens quantized weights to float32. Q4_0, Q5_0 and Q8_0 are a float16 scale times integers;
/// Q4_1 and Q5_1 add a float16 minimum; the K types have blocks of 256 elements in parts of 32 or
/// 16, whose scales and minimums are small integers times a float16 of the block.
///
/// Every value is bit for bit that of gguf-py, which rounds each product and each sum to float32.
///
/// @param blocks  whole blocks of `dtype`, a quantized one, little endian
/// @param out     [num_blocks * block_of(dtype).num_elements]
/// Ref: gguf-py's quants.py; ggml-quants.c of ggml
void dequantize(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, float* out);

}  // namespace prepack
