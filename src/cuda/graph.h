#pragma once

#include <functional>
#include <memory>

#include "cuda/cuda_half.h"

namespace prepack::cuda {

/// As CudaHalf::capture.
std::unique_ptr<DeviceGraph> capture(c10::DeviceIndex device, const DeviceGraph* sharing,
                                     const std::function<void()>& run);

}  // namespace prepack::cuda
