#pragma once

#include <cstdint>
#include <vector>

#include "prepack/model_config.h"

namespace prepack {

/// Angle by which each pair of a head's dimensions turns per position, after scaling.
/// @param rotary_dim    dimensions of a head that are rotated
/// @param sequence_len  tokens of the sequence; chooses the frequencies of dynamic and longrope,
///                      and is not read for the other types
/// @return [rotary_dim / 2]
std::vector<float> rope_frequencies(const RopeConfig& config, int64_t rotary_dim,
                                    int64_t sequence_len = 1);

/// By what cosines and sines are multiplied: more than 1 for most of yarn and longrope.
double rope_attention_factor(const RopeConfig& config);

/// The shortest sequence that has the frequencies of one of `sequence_len` tokens: lengths of one
/// class turn alike. Always 1 for the types that do not depend on the length.
int64_t rope_length_class(const RopeConfig& config, int64_t sequence_len);

}  // namespace prepack
