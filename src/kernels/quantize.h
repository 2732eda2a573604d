#pragma once

#include <cstdint>

namespace prepack {

/// Rounds a row of weights to 8 bits: scale = max |weight| / 127, and no value is more than half a
/// scale away from its weight.
/// @param values  [in_features]
/// @return whether all weights are finite; where they are not, the result means nothing
bool quantize_int8(const float* weights, int64_t in_features, int8_t* values, float* scale);

/// Rounds a row of weights to 4 bits, as Int4Rows has them without minimums: in each group to
/// scale * {-8, ..., 7}. The scale, which may be negative, is the one of least squared error among
/// some that give the largest weight a value of about -8, each after a fit by least squares.
/// Ref: the search is that of llama.cpp's quantization (make_qx_quants), without its weighting.
/// @param group_size  32 times a power of two; divides in_features
/// @param values      [int4_row_bytes(in_features)]
/// @param scales      [in_features / group_size] float16
/// @return whether all weights are finite, and small enough for scales of float16; where they are
///         not, the result means nothing
bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales);

}  // namespace prepack
