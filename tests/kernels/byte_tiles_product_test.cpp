#include "kernels/byte_tiles_product.h"

#include <algorithm>
#include <cmath>
#include <variant>
#include <vector>

#include "support/each_instruction_set.h"
#include "support/gated_product.h"
#include "support/numbers.h"
#include "support/plain_product.h"
#include "support/stored_weight.h"
#include "support/tiled_input.h"

// On a CPU without a matrix unit these run where its instructions are emulated (amx_emulation/).

namespace prepack {
namespace {

using testing::check_gated;
using testing::GatedShape;
using testing::multiply_between;
using testing::Near;
using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::plain_product;
using testing::ProductOutput;
using testing::Random;
using testing::SameBits;
using testing::StoredWeight;
using testing::TiledInput;
using testing::WeightFormat;

constexpr WeightFormat kInt8 = {WeightFormat::Kind::kInt8};

DType any_dtype(Random& random) {
  static constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  return kDTypes[random.integer(0, 2)];
}

template <typename F>
void on_each_with_tiles(const F& f) {
  int num_with_tiles = 0;
  on_each_instruction_set([&] {
    if (!can_multiply_byte_tiles()) return;
    ++num_with_tiles;
    f();
  });
  if (num_with_tiles == 0) WARN("skipped: no matrix unit");
}

/// Its output, of the features between the borders.
Numbers multiply(TiledInput& x, const StoredWeight& weight, const ProductOutput& output,
                 const std::vector<int64_t>& borders) {
  ByteTilesProduct product{};
  product.x = x.tiles();
  product.weight = std::get<Int8Rows>(weight.rows());
  return multiply_between(borders, product, weight.in_features(), output, multiply_byte_tiles);
}

void check(Random& random, int64_t num_rows, int64_t in_features, int64_t out_features) {
  CAPTURE(num_rows, in_features, out_features);
  const StoredWeight weight(random, kInt8, out_features, in_features);
  const auto x = Numbers::random(random, any_dtype(random), num_rows * in_features);
  TiledInput rounded(x, num_rows, in_features);
  ProductOutput output(random, num_rows, out_features);
  output.round_to(any_dtype(random));
  const auto out = multiply(rounded, weight, output, {0, out_features});
  REQUIRE_THAT(out, Near(plain_product(rounded.wide(), weight, output)));
  // Shared among calls, it is the same.
  const int64_t middle = random.integer(0, out_features);
  REQUIRE_THAT(multiply(rounded, weight, output, {0, middle, out_features}), SameBits(out));
}

TEST_CASE("products of tiles of bytes equal their definition", "[kernels][rounded][tiles]") {
  Random random(1);
  on_each_with_tiles([&] {
    for (int i = num_samples(25); i > 0; --i) {
      check(random, random.integer(1, i % 5 == 0 ? 130 : 40), random.integer(1, 300),
            random.integer(1, 70));
    }
    check(random, 40, 1200, 35);  // of several groups
    check(random, 35, 512, 64);   // of whole ones
    check(random, 550, 70, 40);   // of several slices of rows
    check(random, 5, 100, 600);   // of several stretches of features
  });
}

TEST_CASE("a row gives the same bits amid any rows of tiles", "[kernels][rounded][tiles]") {
  Random random(2);
  on_each_with_tiles([&] {
    constexpr int64_t kFeatures = 700;
    constexpr int64_t kMost = 530;
    const StoredWeight weight(random, kInt8, 7, kFeatures);
    const auto x = Numbers::random(random, DType::kFloat32, kMost * kFeatures);
    const auto product_of = [&](int64_t num_rows) {
      TiledInput rounded(x, num_rows, kFeatures);
      ProductOutput output(random, num_rows, 7);
      output.bias = Numbers(DType::kFloat32, 0);
      output.adds = false;
      output.stride = 7;
      output.out = Numbers::filled(DType::kFloat32, num_rows * 7, NAN);
      return multiply(rounded, weight, output, {0, 7}).values();
    };
    const auto all = product_of(kMost);
    for (const int64_t num_rows : {1, 16, 17, 33, 512}) {
      CAPTURE(num_rows);
      const auto some = product_of(num_rows);
      CHECK(std::equal(some.begin(), some.end(), all.begin()));
    }
  });
}

TEST_CASE("SwiGLU of a product of tiles of bytes has the bits of product and SwiGLU apart",
          "[kernels][rounded][tiles]") {
  Random random(3);
  on_each_with_tiles([&] {
    const auto check_shape = [&](const GatedShape& shape) {
      const auto dtype = any_dtype(random);
      CAPTURE(to_string(dtype), shape.num_rows, shape.in_features, shape.num_gates);
      const StoredWeight weight(random, kInt8, 2 * shape.num_gates, shape.in_features);
      const auto x = Numbers::random(random, dtype, shape.num_rows * shape.in_features);
      TiledInput rounded(x, shape.num_rows, shape.in_features);
      ByteTilesProduct product{};
      product.x = rounded.tiles();
      product.weight = std::get<Int8Rows>(weight.rows());
      product.out_dtype = dtype;
      check_gated(random, product, dtype, shape, multiply_byte_tiles);
    };
    for (int i = num_samples(8); i > 0; --i) {
      check_shape({random.integer(1, 70), random.integer(1, 200), random.integer(1, 90)});
    }
    check_shape({40, 600, 67});   // of several groups
    check_shape({530, 40, 33});   // of several slices of rows
    check_shape({27, 100, 300});  // of several stretches of features
  });
}

TEST_CASE("a number that is not finite makes its row's products NaN, and no other's",
          "[kernels][rounded][tiles]") {
  Random random(4);
  on_each_with_tiles([&] {
    constexpr int64_t kFeatures = 600;
    constexpr int64_t kOut = 40;
    const StoredWeight weight(random, kInt8, kOut, kFeatures);
    for (const float number : {INFINITY, -INFINITY, NAN}) {
      auto x = Numbers::random(random, DType::kFloat32, 20 * kFeatures);
      const int64_t row = random.integer(0, 19);
      x.set(row * kFeatures + random.integer(0, kFeatures - 1), number);
      TiledInput rounded(x, 20, kFeatures);
      ProductOutput output(random, 20, kOut);
      const auto out = multiply(rounded, weight, output, {0, kOut});
      int64_t num_wrong = 0;
      for (int64_t i = 0; i < 20 * output.stride; ++i) {
        const bool is_there = i % output.stride < kOut;
        if (is_there && std::isnan(out[i]) != (i / output.stride == row)) ++num_wrong;
      }
      REQUIRE(num_wrong == 0);
    }
  });
}

}  // namespace
}  // namespace prepack
