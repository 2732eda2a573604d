#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "weights/packed_format.h"
#include "weights/tensor_info.h"

namespace prepack {

/// What a quantized type of a GGUF file consists of: bits, the group that shares a scale, and the
/// float type that holds its scales and minimums exactly. Those of Q4_0, of 4 bits without
/// minimums, are values from -8 to 7.
PackedFormat stored_format(StoredDType dtype);

/// The format of least bytes that keeps weights of all of these quantized types exactly.
PackedFormat common_format(std::span<const StoredDType> dtypes);

/// Takes blocks apart: weight = scale * value, or scale * value + minimum. In float32 that is, with
/// each product and each sum rounded, bit for bit gguf-py's number.
///
/// Q4_0, Q5_0 and Q8_0 are a float16 scale times integers; Q4_1 and Q5_1 add a float16 minimum; the
/// K types have blocks of 256 elements in parts of 32 or 16, whose scales and minimums are small
/// integers times a float16 of the block.
///
/// @param blocks    whole blocks of `dtype`, a quantized one, little endian
/// @param values    [num_blocks * block_of(dtype).num_elements]
/// @param scales    one for each group of stored_format(dtype)
/// @param minimums  likewise; not written where the type has none
/// Ref: gguf-py's quants.py; ggml-quants.c of ggml
void take_apart(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, int8_t* values,
                float* scales, float* minimums);

}  // namespace prepack
