#pragma once

#include <cstdint>
#include <vector>

#include "support/numbers.h"
#include "support/random.h"
#include "support/spoiled_scratch.h"
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

/// The output of one call for the features between two borders, and so on.
/// @param product   with its x and weight
/// @param multiply  a kernel
template <typename Product, typename Multiply>
Numbers multiply_between(const std::vector<int64_t>& borders, Product product, int64_t in_features,
                         const ProductOutput& output, const Multiply& multiply) {
  auto out = output.out;
  product.bias = output.bias_or_null();
  if constexpr (requires { product.out_dtype; }) product.out_dtype = out.dtype();
  product.out = out.data();
  product.num_rows = output.num_rows;
  product.in_features = in_features;
  product.out_stride = output.stride;
  product.adds_to_out = output.adds;
  spoil_scratch();
  for (size_t i = 0; i + 1 < borders.size(); ++i) multiply(product, borders[i], borders[i + 1]);
  return out;
}

}  // namespace prepack::testing
