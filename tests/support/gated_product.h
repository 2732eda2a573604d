#pragma once

#include <cstdint>
#include <thread>

#include "kernels/swiglu.h"
#include "support/numbers.h"
#include "support/spoiled_scratch.h"

namespace prepack::testing {

struct GatedShape {
  int64_t num_rows;
  int64_t in_features;
  int64_t num_gates;
};

/// Compares SwiGLU of a product with a product whose result SwiGLU reads.
/// @param product   with all but what is set here
/// @param multiply  of a product, for some features of its output
template <typename Product, typename Multiply>
void check_gated(Random& random, Product product, DType out_dtype, const GatedShape& shape,
                 const Multiply& multiply) {
  const int64_t size = shape.num_gates;
  const auto bias = Numbers::random(random, DType::kFloat32, 2 * size);
  product.bias = random.integer(0, 1) == 1 ? bias.floats() : nullptr;
  product.num_rows = shape.num_rows;
  product.in_features = shape.in_features;
  Numbers gate_up(out_dtype, shape.num_rows * 2 * size);
  product.out = gate_up.data();
  product.out_stride = 2 * size;
  spoil_scratch();
  multiply(product, 0, 2 * size);
  Numbers expected(out_dtype, shape.num_rows * size);
  swiglu(out_dtype, gate_up.data(), expected.data(), shape.num_rows, size);

  const int64_t stride = size + random.integer(0, 3);
  auto out = Numbers::filled(out_dtype, (shape.num_rows - 1) * stride + size, -1);
  auto expected_out = out;
  for (int64_t i = 0; i < expected.size(); ++i) {
    expected_out.set_bits(i / size * stride + i % size, expected.bits(i));
  }
  product.out = out.data();
  product.out_stride = stride;
  product.num_gates = size;
  spoil_scratch();
  const int64_t middle = random.integer(0, size);
  multiply(product, 0, middle);
  // A thread of its own has no more scratch than the kernel asks for: the address sanitizer sees
  // what lies behind it.
  std::thread([&] { multiply(product, middle, size); }).join();
  REQUIRE_THAT(out, SameBits(expected_out));
}

}  // namespace prepack::testing
