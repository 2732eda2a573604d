#pragma once

#include <cstdint>

#include "prepack/model.h"

namespace prepack {

/// A model of this shape whose weights are drawn at random where it computes, in no time and
/// without a file: for measuring speed and memory, which do not depend on what the weights are.
/// @param rounding  as of a model that is quantized when it is loaded; values and scales are drawn
Model make_random_model(const ModelConfig& config, DType dtype, at::Device device,
                        const Rounding& rounding = {});

}  // namespace prepack
