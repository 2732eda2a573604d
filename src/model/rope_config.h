#pragma once

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// A rope_type of this project's own, which what is read from GGUF has; its "factors" are a list.
constexpr const char* kFrequencyFactors = "frequency_factors";

/// Reads how positions are encoded: rope_parameters as transformers 5 writes it, or rope_theta and
/// rope_scaling as earlier versions do. "su", and "yarn" with factors for
/// each pair, as the first Phi-3 have them, are longrope.
/// @param rotary_dim               dimensions that are rotated: longrope has a factor for each pair
/// @param max_position_embeddings  stands in for original_max_position_embeddings, and is what
///                                 dynamic compares lengths to
/// @param default_theta            the family's own
/// @throws LoadError naming the key, or a RoPE type that is not supported
/// Ref: transformers modeling_rope_utils, from which the values of absent keys are taken
RopeConfig read_rope_config(const ConfigReader& config, int64_t rotary_dim,
                            int64_t max_position_embeddings, double default_theta);

/// Tokens that a sequence may have. With linear, dynamic and yarn some files give the original
/// context as max_position_embeddings, and mean `factor` times as many.
int64_t reach_of_rope(const RopeConfig& rope, int64_t max_position_embeddings);

/// The part of each head that RoPE turns, read from the same places.
/// @return in [0, 1]; 1, the whole head, where the file does not say
double read_partial_rotary_factor(const ConfigReader& config);

}  // namespace prepack
