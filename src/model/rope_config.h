#pragma once

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// Reads how positions are encoded: rope_parameters as transformers 5 writes it, or rope_theta and
/// rope_scaling as earlier versions do.
/// @param max_position_embeddings  stands in for original_max_position_embeddings
/// @param default_theta            the family's own
/// @throws LoadError naming the key, or a RoPE type that is not supported
RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings,
                            double default_theta);

/// The part of each head that RoPE turns, read from the same places.
/// @return in [0, 1]; 1, the whole head, where the file does not say
double read_partial_rotary_factor(const ConfigReader& config);

}  // namespace prepack
