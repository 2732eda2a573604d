#pragma once

#include <cmath>

#include "model/linear.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"

namespace prepack::testing {

/// With a bias, and outputs of about the size of its inputs.
inline Linear quantized_linear(Random& random, int64_t out_features, int64_t in_features,
                               const Quantization& quantization, Activations activations) {
  auto weight = QuantizedWeight::make_empty(out_features, in_features, quantization);
  const double scale = 1 / std::sqrt(static_cast<double>(in_features));
  REQUIRE(weight.quantize_rows(0, random_tensor(random, {out_features, in_features}).mul(scale)));
  weight.activations = activations;
  return {weight, random_tensor(random, {out_features})};
}

}  // namespace prepack::testing
