#pragma once

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// A rope_type of this project's own, which what is read from GGUF has; its "factors" are a list.
constexpr const char* kFrequencyFactors = "frequency_factors";

/// Reads how positions are encoded: rope_parameters as transformers 5 writes it, or rope_theta and
/// rope_scaling as earlier versions do.
/// @param max_position_embeddings  stands in for original_max_position_embeddings
/// @throws LoadError naming the key, or a RoPE type that is not supported
RopeConfig read_rope_config(const ConfigReader& config, int64_t max_position_embeddings);

}  // namespace prepack
