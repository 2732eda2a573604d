#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "support/random.h"

namespace prepack::testing {

/// Normally distributed values, rounded to the dtype.
inline at::Tensor random_tensor(Random& random, at::IntArrayRef sizes,
                                at::ScalarType dtype = at::kFloat) {
  auto tensor = at::empty(sizes, at::kFloat);
  auto* data = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(random.normal());
  return tensor.to(dtype);
}

}  // namespace prepack::testing
