#pragma once

#include <cstdint>

#include "prepack/model.h"

namespace prepack {

/// A model of this shape whose weights are drawn at random where it computes, in no time and
/// without a file: for measuring speed and memory, which do not depend on what the weights are.
Model make_random_model(const ModelConfig& config, DType dtype, at::Device device);

}  // namespace prepack
