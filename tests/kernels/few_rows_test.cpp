#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/linear.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/plain_product.h"
#include "support/spoiled_scratch.h"
#include "support/stored_weight.h"

namespace prepack {
namespace {

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

/// A product of rows of a weight, which is computed in one call or feature by feature.
struct Sample {
  StoredWeight weight;
  Numbers x;
  ProductOutput output;

  Sample(Random& random, const WeightFormat& format, int64_t num_rows, int64_t in_features,
         int64_t out_features)
      : weight(random, format, out_features, in_features),
        x(Numbers::random(random, DType::kFloat32, num_rows * in_features)),
        output(random, num_rows, out_features) {}

  FewRowsProduct product(Numbers& out) const {
    return {.x = x.floats(),
            .weight = weight.rows(),
            .bias = output.bias_or_null(),
            .out = out.floats(),
            .num_rows = output.num_rows,
            .in_features = weight.in_features(),
            .out_stride = output.stride,
            .adds_to_out = output.adds};
  }
};

void check(Random& random, const WeightFormat& format, int64_t num_rows, int64_t in_features,
           int64_t out_features) {
  CAPTURE(name_of(format), num_rows, in_features, out_features);
  const Sample sample(random, format, num_rows, in_features, out_features);
  auto out = sample.output.out;
  testing::spoil_scratch();
  multiply_few_rows(sample.product(out), 0, out_features);
  REQUIRE_THAT(out, Near(plain_product(sample.x.values(), sample.weight, sample.output)));
  // Shared among calls, it is the same.
  auto shared = sample.output.out;
  const int64_t middle = random.integer(0, out_features);
  multiply_few_rows(sample.product(shared), middle, out_features);
  multiply_few_rows(sample.product(shared), 0, middle);
  REQUIRE_THAT(shared, SameBits(out));
}

/// Any, or around what lanes and blocks hold.
int64_t random_in_features(Random& random) {
  static constexpr int64_t kBorders[] = {8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
  return random.integer(0, 1) == 0 ? random.integer(1, 200) : kBorders[random.integer(0, 12)];
}

TEST_CASE("products of few rows equal their definition", "[kernels][products]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      for (int i = num_samples(30); i > 0; --i) {
        const int64_t num_rows = i % 8 == 0 ? random.integer(13, 60) : random.integer(1, 12);
        check(random, format, num_rows, whole_groups(format, random_in_features(random)),
              random.integer(1, 20));
      }
    }
  });
}

TEST_CASE("products of several blocks equal their definition", "[kernels][products]") {
  Random random(2);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      // Of one row and of many, blocks differ; and widened values are in parts of 1024.
      for (const int64_t num_rows : {1, 2, 4, 7, 49}) {
        check(random, format, num_rows, whole_groups(format, random.integer(769, 2800)), 5);
      }
    }
    // Groups that blocks cut, or that are longer than a block.
    for (const auto kind : {WeightFormat::Kind::kInt8Groups, WeightFormat::Kind::kInt4Groups}) {
      for (const int64_t group_size : {128, 512, 2048}) {
        const WeightFormat format{kind, DType::kFloat32, group_size, true};
        for (const int64_t num_rows : {1, 3, 5}) {
          check(random, format, num_rows, whole_groups(format, 896), 5);
        }
      }
    }
  });
}

TEST_CASE("products of many features equal their definition", "[kernels][products]") {
  Random random(5);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      // More than the features whose weights are kept in a cache for several groups of rows.
      check(random, format, 13, whole_groups(format, random.integer(1000, 1300)), 110);
      check(random, format, 50, whole_groups(format, random.integer(400, 600)), 170);
    }
  });
}

TEST_CASE("weights may lie at any address", "[kernels][products]") {
  Random random(3);
  on_each_instruction_set([&] {
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
      const Sample sample(random, {WeightFormat::Kind::kPlain, dtype}, 4, 61, 9);
      auto expected = sample.output.out;
      multiply_few_rows(sample.product(expected), 0, 9);
      const auto size = static_cast<size_t>(9 * 61 * element_size(dtype));
      for (const size_t offset : {1, 2, 3, 30}) {
        CAPTURE(to_string(dtype), offset);
        std::vector<char> bytes(size + offset);
        const auto rows = std::get<PlainRows>(sample.weight.rows());
        std::memcpy(bytes.data() + offset, rows.values, size);
        auto out = sample.output.out;
        auto product = sample.product(out);
        product.weight = PlainRows{dtype, bytes.data() + offset};
        multiply_few_rows(product, 0, 9);
        REQUIRE_THAT(out, SameBits(expected));
      }
    }
  });
}

TEST_CASE("rows of a weight widen to what they mean", "[kernels][products]") {
  Random random(4);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      for (int i = num_samples(20); i > 0; --i) {
        const int64_t in_features =
            whole_groups(format, i % 10 == 0 ? 2500 : random_in_features(random));
        CAPTURE(name_of(format), in_features);
        const StoredWeight weight(random, format, 6, in_features);
        const int64_t first = random.integer(0, 6);
        const int64_t last = random.integer(first, 6);
        Numbers wide(DType::kFloat32, (last - first) * in_features);
        widen_rows(weight.rows(), in_features, first, last, DType::kFloat32, wide.data());
        std::vector<testing::Expected> expected;
        for (int64_t row = first; row < last; ++row) {
          for (int64_t k = 0; k < in_features; ++k) {
            const double error = format.is_plain() ? 0 : weight.size(row, k) * 0x1p-24;
            expected.push_back({weight.value(row, k), error});
          }
        }
        REQUIRE_THAT(wide, Near(expected));
        Numbers rounded(DType::kBFloat16, wide.size());
        narrow(wide.floats(), DType::kBFloat16, rounded.data(), wide.size());
        Numbers narrow_rows(DType::kBFloat16, wide.size());
        widen_rows(weight.rows(), in_features, first, last, DType::kBFloat16, narrow_rows.data());
        REQUIRE_THAT(narrow_rows, SameBits(rounded));
      }
    }
  });
}

}  // namespace
}  // namespace prepack
