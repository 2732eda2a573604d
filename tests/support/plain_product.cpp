#include "support/plain_product.h"

#include <algorithm>
#include <cmath>

namespace prepack::testing {

ProductOutput::ProductOutput(Random& random, int64_t num_rows, int64_t out_features)
    : bias(Numbers::random(random, DType::kFloat32, random.integer(0, 1) * out_features)),
      out(DType::kFloat32, 0),
      num_rows(num_rows),
      out_features(out_features),
      stride(out_features + random.integer(0, 3)),
      adds(random.integer(0, 1) == 1) {
  out = Numbers::random(random, DType::kFloat32, (num_rows - 1) * stride + out_features);
  for (int64_t i = 0; i < out.size() && !adds; ++i) {
    if (i % stride < out_features) out.set(i, NAN);
  }
}

void ProductOutput::round_to(DType dtype) {
  Numbers rounded(dtype, out.size());
  for (int64_t i = 0; i < out.size(); ++i) rounded.set(i, out[i]);
  out = rounded;
}

std::vector<Expected> plain_product(const std::vector<double>& x, const StoredWeight& weight,
                                    const ProductOutput& before) {
  // A few roundings of float32 of what is summed: one by one, or sums of values and of minimums by
  // themselves. Those of long sums add up like steps of a random walk, where a vector is one lane.
  const int64_t in_features = weight.in_features();
  const double error = 0x1p-21 * std::max(1.0, std::sqrt(static_cast<double>(in_features)) / 16);
  std::vector<Expected> expected;
  for (int64_t i = 0; i < before.out.size(); ++i) {
    const int64_t row = i / before.stride;
    const int64_t feature = i % before.stride;
    if (feature >= before.out_features) {
      expected.push_back({before.out[i], 0});
      continue;
    }
    const double old = before.adds ? before.out[i] : 0;
    const double bias = before.bias.size() > 0 ? before.bias[feature] : 0;
    double sum = old + bias;
    double size = std::abs(old) + std::abs(bias);
    for (int64_t k = 0; k < in_features; ++k) {
      const double number = x[row * in_features + k];
      sum += number * weight.value(feature, k);
      size += std::abs(number) * weight.size(feature, k);
    }
    expected.push_back({sum, error * size});
  }
  return expected;
}

std::vector<Expected> without_subnormals(std::vector<Expected> expected) {
  for (auto& one : expected) one.error += 1e-36;
  return expected;
}

}  // namespace prepack::testing
