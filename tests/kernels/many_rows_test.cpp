#include "kernels/many_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/linear.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/plain_product.h"
#include "support/stored_weight.h"

namespace prepack {
namespace {

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
using testing::weight_formats;
using testing::WeightFormat;
using testing::whole_groups;
using testing::without_subnormals;

constexpr WeightFormat kBFloat16 = {WeightFormat::Kind::kPlain, DType::kBFloat16};

/// Rows of x, packed in two calls into memory that was full of NaN.
class PackedInput {
 public:
  PackedInput(Random& random, const Numbers& x, int64_t num_rows, int64_t in_features)
      : values_(Numbers::filled(x.dtype(),
                                PackedRows::num_tiles(num_rows) * PackedRows::kTileRows *
                                    PackedRows::padded(in_features),
                                NAN)) {
    const int64_t num_tiles = PackedRows::num_tiles(num_rows);
    const int64_t middle = random.integer(0, num_tiles);
    pack_rows(x.data(), num_rows, in_features, middle, num_tiles, rows());
    pack_rows(x.data(), num_rows, in_features, 0, middle, rows());
  }

  PackedRows rows() { return {values_.dtype(), values_.data()}; }

 private:
  Numbers values_;
};

/// The output of one call for the features between two borders, and so on.
Numbers multiply(PackedRows x, const StoredWeight& weight, const ProductOutput& output,
                 const std::vector<int64_t>& borders) {
  ManyRowsProduct product{};
  product.x = x;
  product.weight = weight.rows();
  auto rounded = output;
  rounded.round_to(x.dtype);
  return multiply_between(borders, product, weight.in_features(), rounded, multiply_many_rows);
}

/// @param dtype  of x and the output
void check(Random& random, const WeightFormat& format, DType dtype, int64_t num_rows,
           int64_t in_features, int64_t out_features) {
  CAPTURE(name_of(format), to_string(dtype), num_rows, in_features, out_features);
  const StoredWeight weight(random, format, out_features, in_features);
  const auto x = Numbers::random(random, dtype, num_rows * in_features);
  PackedInput packed(random, x, num_rows, in_features);
  ProductOutput output(random, num_rows, out_features);
  for (int64_t i = 0; i < output.out.size(); ++i) {
    output.out.set(i, testing::round_to(dtype, output.out[i]));
  }
  const auto out = multiply(packed.rows(), weight, output, {0, out_features});
  const auto expected = plain_product(x.values(), weight, output);
  REQUIRE_THAT(out, Near(dtype == DType::kFloat32 ? expected : without_subnormals(expected)));
  // Shared among calls, it is the same.
  const int64_t middle = random.integer(0, out_features);
  REQUIRE_THAT(multiply(packed.rows(), weight, output, {0, middle, out_features}), SameBits(out));
}

TEST_CASE("products of many rows equal their definition", "[kernels][products]") {
  Random random(1);
  on_each_instruction_set([&] {
    const auto check_shapes = [&](const WeightFormat& format, DType dtype) {
      for (int i = num_samples(20); i > 0; --i) {
        check(random, format, dtype, random.integer(1, i % 5 == 0 ? 130 : 30),
              whole_groups(format, random.integer(1, 200)), random.integer(1, 80));
      }
      // Of several blocks, parts and stretches.
      check(random, format, dtype, random.integer(1, 26), whole_groups(format, 1300), 70);
      check(random, format, dtype, 13, whole_groups(format, 40), 700);
      check(random, format, dtype, 110, whole_groups(format, 1100), 40);
      check(random, format, dtype, 5, whole_groups(format, 9000), 270);
      // In whole vectors, and of more rows than panels are streamed for.
      check(random, format, dtype, 30, whole_groups(format, 384), 100);
      check(random, format, dtype, 260, whole_groups(format, 96), 70);
      if (format.is_plain()) check(random, format, dtype, 260, 40, 300);
    };
    for (const auto& format : weight_formats()) check_shapes(format, DType::kFloat32);
    check_shapes(kBFloat16, DType::kBFloat16);
  });
}

TEST_CASE("a product in bfloat16 rounds its weight to it", "[kernels][products]") {
  constexpr int64_t kNumRows = 27;
  constexpr int64_t kFeatures = 45;
  Random random(3);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      for (const int64_t least : {30, 500}) {
        const int64_t in_features = whole_groups(format, least);
        CAPTURE(name_of(format), in_features);
        const StoredWeight weight(random, format, kFeatures, in_features);
        Numbers rounded(DType::kBFloat16, kFeatures * in_features);
        widen_rows(weight.rows(), in_features, 0, kFeatures, DType::kBFloat16, rounded.data());
        const auto x = Numbers::random(random, DType::kBFloat16, kNumRows * in_features);
        PackedInput packed(random, x, kNumRows, in_features);
        const auto product_with = [&](const WeightRows& rows) {
          auto out = Numbers::filled(DType::kBFloat16, kNumRows * kFeatures, NAN);
          multiply_many_rows({.x = packed.rows(),
                              .weight = rows,
                              .bias = nullptr,
                              .out = out.data(),
                              .num_rows = kNumRows,
                              .in_features = in_features,
                              .out_stride = kFeatures,
                              .adds_to_out = false},
                             0, kFeatures);
          return out;
        };
        REQUIRE_THAT(product_with(weight.rows()),
                     SameBits(product_with(PlainRows{DType::kBFloat16, rounded.data()})));
      }
    }
  });
}

TEST_CASE("vectors of 256 bits and more are fast with many rows", "[kernels][products]") {
  on_each_instruction_set([] {
    const bool has_256_bits = HWY_ARCH_X86 && testing::dispatched_instruction_set() <= HWY_AVX2;
    CHECK(has_fast_many_rows() == has_256_bits);
    if (has_wide_vectors()) CHECK(has_fast_many_rows());
  });
}

TEST_CASE("a row gives the same bits amid any many rows", "[kernels][products]") {
  Random random(2);
  const auto check_rows = [&](DType dtype, int64_t most_rows, int64_t features,
                              int64_t in_features) {
    CAPTURE(to_string(dtype), most_rows);
    const StoredWeight weight(random, kBFloat16, features, in_features);
    const auto x = Numbers::random(random, dtype, most_rows * in_features);
    const auto product_of = [&](int64_t first, int64_t num_rows) {
      Numbers part(dtype, num_rows * in_features);
      for (int64_t i = 0; i < part.size(); ++i) part.set(i, x[first * in_features + i]);
      PackedInput packed(random, part, num_rows, in_features);
      ProductOutput output(random, num_rows, features);
      output.bias = Numbers(DType::kFloat32, 0);
      output.adds = false;
      output.stride = features;
      output.out = Numbers::filled(DType::kFloat32, num_rows * features, NAN);
      return multiply(packed.rows(), weight, output, {0, features}).values();
    };
    const auto all = product_of(0, most_rows);
    for (int i = num_samples(10); i > 0; --i) {
      const int64_t first = random.integer(0, most_rows - 1);
      const int64_t num_rows = random.integer(1, most_rows - first);
      const auto part = product_of(first, num_rows);
      REQUIRE(std::equal(part.begin(), part.end(), all.begin() + first * features));
    }
  };
  on_each_instruction_set([&] {
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      check_rows(dtype, 31, 37, 600);
      // More than panels are streamed for.
      check_rows(dtype, 300, 70, 64);
    }
  });
}

}  // namespace
}  // namespace prepack
