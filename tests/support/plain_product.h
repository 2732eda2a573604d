#pragma once

#include <cstdint>
#include <vector>

#include "support/numbers.h"
#include "support/random.h"
#include "support/stored_weight.h"

namespace prepack::testing {

/// What a product adds to and writes to: rows of float32 at first, with gaps between them.
struct ProductOutput {
  Numbers bias;  // [out_features], or none
  Numbers out;   // [num_rows, out_features], with rows `stride` apart
  int64_t num_rows;
  int64_t out_features;
  int64_t stride;
  bool adds;

  /// What the product overwrites is NaN.
  ProductOutput(Random& random, int64_t num_rows, int64_t out_features);

  /// What is there, in another dtype.
  void round_to(DType dtype);

  const float* bias_or_null() const { return bias.size() > 0 ? bias.floats() : nullptr; }
};

/// x * weight^T + bias, added to what is there or not, in float64. What lies between the rows
/// stays.
/// @param x  [num_rows, in_features]
std::vector<Expected> plain_product(const std::vector<double>& x, const StoredWeight& weight,
                                    const ProductOutput& before);

/// The same where CPUs may take subnormal numbers for zeros.
std::vector<Expected> without_subnormals(std::vector<Expected> expected);

}  // namespace prepack::testing
