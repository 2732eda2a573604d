#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>

#include <cstdint>
#include <limits>

namespace prepack::testing {

/// Rows rounded by definition: in groups along a row, to the nearest multiple of the group's
/// largest / the largest T.
/// @param input  [num_rows, in_features]
/// @return       likewise, float32
template <typename T>
at::Tensor rounded_in_groups(const at::Tensor& input, int64_t group_size) {
  const int64_t in_features = input.size(1);
  const int64_t num_groups = (in_features + group_size - 1) / group_size;
  const auto groups =
      at::constant_pad_nd(input.to(at::kFloat), {0, num_groups * group_size - in_features})
          .view({input.size(0), num_groups, group_size});
  const auto scales = groups.abs().amax(-1, /*keepdim=*/true).div(std::numeric_limits<T>::max());
  const auto values = groups.mul(scales.reciprocal()).round().nan_to_num(0);  // 0 / 0
  return values.mul(scales).flatten(1).narrow(1, 0, in_features);
}

}  // namespace prepack::testing
