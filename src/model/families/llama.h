#pragma once

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// Reads the config.json of Llama 1 to 3 and of what follows their form, such as SmolLM2.
/// Ref: transformers LlamaConfig, from which the values of absent keys are taken
ModelConfig read_llama_config(const ConfigReader& config);

}  // namespace prepack
