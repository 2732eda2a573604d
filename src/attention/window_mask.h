#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace prepack {

/// Which tokens of a row attend to which under a sliding window: token i to token j if
/// i - window < j <= i.
/// @return [row_len, row_len] bool, true: may attend
at::Tensor window_mask(int64_t row_len, int64_t window, at::Device device);

}  // namespace prepack
