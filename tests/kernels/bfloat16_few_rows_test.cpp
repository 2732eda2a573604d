#include "kernels/bfloat16_few_rows.h"

#include <cmath>
#include <vector>

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
using testing::WeightFormat;
using testing::without_subnormals;

constexpr WeightFormat kBFloat16 = {WeightFormat::Kind::kPlain, DType::kBFloat16};

/// The output of one call for the features between two borders, and so on.
Numbers multiply(const Numbers& x, const StoredWeight& weight, const ProductOutput& output,
                 const std::vector<int64_t>& borders) {
  FewBFloat16RowsProduct product{};
  product.x = x.data();
  product.weight = std::get<PlainRows>(weight.rows()).values;
  auto rounded = output;
  rounded.round_to(DType::kBFloat16);
  return multiply_between(borders, product, weight.in_features(), rounded,
                          multiply_few_bfloat16_rows);
}

void check(Random& random, int64_t num_rows, int64_t in_features, int64_t out_features) {
  CAPTURE(num_rows, in_features, out_features);
  const StoredWeight weight(random, kBFloat16, out_features, in_features);
  const auto x = Numbers::random(random, DType::kBFloat16, num_rows * in_features);
  ProductOutput output(random, num_rows, out_features);
  for (int64_t i = 0; i < output.out.size(); ++i) {
    output.out.set(i, testing::round_to(DType::kBFloat16, output.out[i]));
  }
  const auto out = multiply(x, weight, output, {0, out_features});
  REQUIRE_THAT(out, Near(without_subnormals(plain_product(x.values(), weight, output))));
  // Shared among calls, it is the same.
  const int64_t middle = random.integer(0, out_features);
  REQUIRE_THAT(multiply(x, weight, output, {0, middle, out_features}), SameBits(out));
}

TEST_CASE("products of few rows of bfloat16 equal their definition", "[kernels][products]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(100); i > 0; --i) {
      check(random, random.integer(1, 30), 2 * random.integer(1, 150), random.integer(1, 20));
    }
    for (int64_t num_rows = 1; num_rows <= 66; ++num_rows) check(random, num_rows, 70, 9);
    // More features than stay in a cache for several groups of rows.
    for (const int64_t num_rows : {1, 4, 7, 16, 45}) check(random, num_rows, 2800, 41);
    // And than are summed at a time.
    for (const int64_t num_rows : {5, 14, 64}) check(random, num_rows, 1700, 601);
  });
}

TEST_CASE("a short row of bfloat16 gives the same bits amid any few rows", "[kernels][products]") {
  constexpr int64_t kNumRows = 16;
  constexpr int64_t kFeatures = 13;
  constexpr int64_t kInFeatures = 390;  // one block, with however many rows
  Random random(2);
  on_each_instruction_set([&] {
    const StoredWeight weight(random, kBFloat16, kFeatures, kInFeatures);
    const auto x = Numbers::random(random, DType::kBFloat16, kNumRows * kInFeatures);
    const auto first_rows = [&](int64_t num_rows) {
      ProductOutput output(random, num_rows, kFeatures);
      output.bias = Numbers(DType::kFloat32, 0);
      output.adds = false;
      output.stride = kFeatures;
      output.out = Numbers::filled(DType::kFloat32, num_rows * kFeatures, NAN);
      return multiply(x, weight, output, {0, kFeatures}).values();
    };
    const auto all = first_rows(kNumRows);
    for (int64_t num_rows = 1; num_rows < kNumRows; ++num_rows) {
      CAPTURE(num_rows);
      const auto few = first_rows(num_rows);
      REQUIRE(std::equal(few.begin(), few.end(), all.begin()));
    }
  });
}

}  // namespace
}  // namespace prepack
