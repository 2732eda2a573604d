#pragma once

#include <ATen/ops/tensor.h>

#include "base/scalar_type.h"
#include "support/catch.h"
#include "support/guarded_tensor.h"
#include "support/random.h"
#include "support/tensors.h"
#include "weights/quantized_weight.h"

namespace prepack::testing {

/// A weight of random values, of about the size 1, in any format, each part in memory that ends
/// with it.
inline QuantizedWeight random_quantized(Random& random, int64_t out_features, int64_t in_features,
                                        const PackedFormat& format) {
  auto weight = QuantizedWeight::make_empty(out_features, in_features, format);
  const int64_t num_values = out_features * in_features;
  const bool is_int8 = format.bits == 8;
  const auto values =
      at::tensor(random.integers(num_values, is_int8 ? -128 : 0, is_int8 ? 127 : 15), at::kChar);
  const int64_t num_groups = weight.scales.size(1);
  const auto numbers = [&](double size) {
    return random_tensor(random, {out_features, num_groups}, to_scalar_type(format.scale_dtype))
        .mul(size)
        .to(weight.scales.scalar_type());
  };
  const auto scales = numbers(is_int8 ? 0x1p-7 : 0x1p-3);
  const auto minimums = format.has_minimums ? numbers(1) : at::Tensor();
  REQUIRE(weight.set_rows(0, values.view({out_features, in_features}), scales, minimums));
  for (auto* part : {&weight.values, &weight.scales, &weight.minimums}) {
    if (part->defined()) *part = guarded(*part);
  }
  return weight;
}

}  // namespace prepack::testing
