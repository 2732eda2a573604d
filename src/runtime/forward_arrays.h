#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "prepack/model.h"

namespace prepack {

// A forward with VarlenAttention is made on the CPU, and brought to its device in one piece.

/// What of it the device reads: token ids, positions, slots, output tokens, and the attention's.
/// @param input  on the CPU, with no padding left out of the cache
std::vector<at::Tensor> forward_arrays(const ForwardInput& input);

/// The same forward with these arrays, wherever they are.
ForwardInput with_arrays(ForwardInput input, std::span<const at::Tensor> arrays);

/// Without waiting for the device.
ForwardInput to_device(const ForwardInput& input, at::Device device);

}  // namespace prepack
