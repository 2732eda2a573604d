#pragma once

#include <cstdint>

namespace prepack {

/// Rounds a row of weights to 8 bits: scale = max |weight| / 127, and no value is more than half a
/// scale away from its weight.
/// @param values  [in_features]
/// @return whether all weights are finite; where they are not, the result means nothing
bool quantize_int8(const float* weights, int64_t in_features, int8_t* values, float* scale);

/// Rounds a row of weights to 4 bits, as Int4Rows has them. Scale and minimum of a group are those
/// of least squared error among some: for each of several scales near the group's range / 15, the
/// line through the weights over the values that this scale gives them. Weights that are a multiple
/// of a scale above a minimum already, such as those of a Q4_1 file, stay what they are.
/// Ref: the search is that of llama.cpp's quantization (make_qkx2_quants), without its weighting.
/// @param group_size        32 times a power of two; divides in_features
/// @param values            [int4_row_bytes(in_features)]
/// @param scales, minimums  [in_features / group_size] float16
/// @return whether all weights are finite, and small enough for scales of float16; where they are
///         not, the result means nothing
bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales, void* minimums);

/// Packs a row's values as Int4Rows has them.
/// @param values  [in_features] 0 to 15
/// @param to      [int4_row_bytes(in_features)]
void pack_int4(const uint8_t* values, int64_t in_features, uint8_t* to);

}  // namespace prepack
