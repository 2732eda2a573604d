#include "model/rounded_tiles_product.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "kernels/byte_tiles.h"
#include "kernels/byte_tiles_product.h"
#include "model/swiglu.h"
#include "model/wide_product.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/quantized_linear.h"
#include "support/random.h"
#include "support/rounded_in_groups.h"
#include "support/skip.h"
#include "support/tensors.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::quantized_linear;
using testing::Random;
using testing::random_tensor;
using testing::rounded_in_groups;

/// Leaves a test where products in tiles of bytes are not computed, neither by AMX nor by its
/// emulation.
#define PREPACK_NEEDS_BYTE_TILES() \
  PREPACK_SKIP_UNLESS(can_multiply_byte_tiles(), "skipped: no matrix unit")

constexpr Quantization kInt8 = {.bits = 8};

TEST_CASE("tiles are best for rows and weights of 8 bits alone", "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  Random random(4);
  const auto is_best = [&](const Quantization& quantization, Activations activations) {
    const auto linear = quantized_linear(random, 40, 128, quantization, activations);
    return is_rounded_tiles_product_best(linear.weight, 100);
  };
  CHECK(is_best(kInt8, Activations::kInt8));
  CHECK(!is_best(kInt8, Activations::kInt16));
  CHECK(!is_best(kInt8, Activations::kAsComputed));
  CHECK(!is_best({.bits = 4, .group_size = 32}, Activations::kInt8));
  CHECK(!is_rounded_tiles_product_best(random_tensor(random, {40, 128}), 100));
}

TEST_CASE("a row's product in tiles is that of the row alone", "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  Random random(5);
  const auto linear = quantized_linear(random, 50, 700, kInt8, Activations::kInt8);
  // A few numbers that are far larger than all others, as activations have them.
  auto input = random_tensor(random, {40, 700});
  for (int i = 0; i < 5; ++i) input.select(1, random.integer(0, 699)).mul_(300);
  const auto all = linear(input);
  const double near = 1e-5 * all.abs().max().item<double>();
  for (const int64_t num_rows : {1, 8}) {
    CHECK_THAT(linear(input.narrow(0, 3, num_rows)), AllClose(all.narrow(0, 3, num_rows), near));
  }
}

TEST_CASE("products in tiles take inputs of any strides, and write any dtype",
          "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  Random random(6);
  const auto linear = quantized_linear(random, 50, 200, kInt8, Activations::kInt8);
  const auto wider = random_tensor(random, {30, 300}, at::kBFloat16);
  const auto input = wider.narrow(1, 60, 200);
  auto out = at::empty({30, 50});
  linear.write_to(input, out);
  const auto expected = linear(input.to(at::kFloat).contiguous());
  CHECK_THAT(out, BitEqual(expected));
}

TEST_CASE("the rounded input of a product in tiles is counted", "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  CHECK(rounded_tiles_bytes(9, 640) >= 32 * 640);
  CHECK(rounded_rows_bytes(9, 640) >= rounded_tiles_bytes(9, 640));
}

TEST_CASE("a product in tiles equals its definition in float64", "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  Random random(2);
  for (const int64_t num_rows : {9, 33, 150}) {
    for (const int64_t in_features : {64, 700}) {
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        CAPTURE(num_rows, in_features);
        const auto linear = quantized_linear(random, 130, in_features, kInt8, Activations::kInt8);
        const auto input = random_tensor(random, {num_rows, in_features}, type);
        const auto weight = std::get<QuantizedWeight>(linear.weight).dequantize();
        const auto expected = rounded_in_groups<int8_t>(input, ByteTiles::kGroup)
                                  .to(at::kDouble)
                                  .matmul(weight.to(at::kDouble).t())
                                  .add(linear.bias->to(at::kDouble));
        const double near = type == at::kFloat ? 1e-5 : 1e-2;
        CHECK_THAT(linear(input), AllClose(expected, near, near));
        auto sum = random_tensor(random, expected.sizes(), type);
        const auto expected_sum = sum.to(at::kDouble).add(expected);
        linear.add_to(input, sum);
        CHECK_THAT(sum, AllClose(expected_sum, near, near));
        auto gated = at::empty({num_rows, 65}, input.options());
        REQUIRE(linear.can_gate(input));
        linear.write_gated_to(input, gated);
        const auto expected_gated = at::empty_like(gated);
        swiglu(linear(input), expected_gated);
        CHECK_THAT(gated, BitEqual(expected_gated));
      }
    }
  }
}

TEST_CASE("more rows than are rounded at once are multiplied in tiles all the same",
          "[linear][quantization][amx]") {
  PREPACK_NEEDS_BYTE_TILES();
  Random random(3);
  constexpr int64_t kRows = 1100;
  constexpr int64_t kFeatures = 24000;
  const auto linear = quantized_linear(random, 20, kFeatures, kInt8, Activations::kInt8);
  const auto input = random_tensor(random, {kRows, kFeatures});
  const auto all = linear(input);
  // A row's bits do not depend on those beside it.
  for (const int64_t first : {int64_t{0}, int64_t{500}, kRows - 40}) {
    CHECK_THAT(linear(input.narrow(0, first, 40)), BitEqual(all.narrow(0, first, 40)));
  }
}

}  // namespace
}  // namespace prepack
