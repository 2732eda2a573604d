#include <cmath>
#include <optional>
#include <vector>

#include "kernels/rounded_product.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/plain_product.h"
#include "support/rounded_input.h"
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
using testing::RoundedInput;
using testing::SameBits;
using testing::StoredWeight;
using testing::weight_formats;
using testing::WeightFormat;
using testing::whole_groups;

DType any_dtype(Random& random) {
  static constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  return kDTypes[random.integer(0, 2)];
}

/// One of the two kernels.
template <typename T>
struct Kernel {
  const char* name;
  int64_t tile_rows;
  void (*multiply)(const RoundedProduct<T>&, int64_t first, int64_t last);
};

template <typename T>
constexpr Kernel<T> kFewRows = {"few rows", 1, multiply_few_rounded_rows};
template <typename T>
constexpr Kernel<T> kManyRows = {"many rows", kRoundedTileRows, multiply_rounded_rows};

/// Those that are multiplied with rows of T.
template <typename T>
std::vector<WeightFormat> quantized_formats() {
  auto formats = weight_formats();
  std::erase_if(formats, [](const auto& format) {
    const bool has_small_groups = format.kind == WeightFormat::Kind::kInt8Groups &&
                                  format.group_size < RoundedRows<T>::kGroup;
    return format.is_plain() || (sizeof(T) == 1 && has_small_groups);
  });
  return formats;
}

/// Its output, of the features [first, last).
template <typename T>
Numbers multiply(const Kernel<T>& kernel, const RoundedInput<T>& x, const StoredWeight& weight,
                 const ProductOutput& output, const std::vector<int64_t>& borders) {
  RoundedProduct<T> product{};
  product.x = x.rows();
  product.weight = weight.rows();
  return multiply_between(borders, product, weight.in_features(), output, kernel.multiply);
}

template <typename T>
void check(Random& random, const Kernel<T>& kernel, const WeightFormat& format, int64_t num_rows,
           int64_t in_features, int64_t out_features) {
  CAPTURE(kernel.name, name_of(format), num_rows, in_features, out_features);
  const StoredWeight weight(random, format, out_features, in_features);
  const auto x = Numbers::random(random, any_dtype(random), num_rows * in_features);
  const RoundedInput<T> rounded(x, num_rows, in_features, kernel.tile_rows,
                                rounded_sum_group(weight.rows(), RoundedRows<T>::kGroup));
  ProductOutput output(random, num_rows, out_features);
  output.round_to(any_dtype(random));
  const auto out = multiply(kernel, rounded, weight, output, {0, out_features});
  REQUIRE_THAT(out, Near(plain_product(rounded.wide(), weight, output)));
  // Shared among calls, it is the same.
  const int64_t middle = random.integer(0, out_features);
  REQUIRE_THAT(multiply(kernel, rounded, weight, output, {0, middle, out_features}), SameBits(out));
}

TEMPLATE_TEST_CASE("products of few rounded rows equal their definition", "[kernels][rounded]",
                   int16_t, int8_t) {
  Random random(1);
  on_each_instruction_set([&] {
    for (const auto& format : quantized_formats<TestType>()) {
      for (int i = num_samples(25); i > 0; --i) {
        check(random, kFewRows<TestType>, format, random.integer(1, i % 5 == 0 ? 50 : 14),
              whole_groups(format, random.integer(1, 300)), random.integer(1, 40));
      }
      // Of several slices.
      check(random, kFewRows<TestType>, format, random.integer(3, 9), whole_groups(format, 4500),
            random.integer(30, 40));
      check(random, kFewRows<TestType>, format, random.integer(1, 2), whole_groups(format, 17000),
            random.integer(5, 12));
    }
    for (const auto kind : {WeightFormat::Kind::kInt8Groups, WeightFormat::Kind::kInt4Groups}) {
      const WeightFormat format{kind, DType::kFloat32, 4096, true};
      for (const int64_t num_rows : {1, 3, 6})
        check(random, kFewRows<TestType>, format, num_rows, 8192, 5);
    }
  });
}

TEMPLATE_TEST_CASE("products of many rounded rows equal their definition", "[kernels][rounded]",
                   int16_t, int8_t) {
  Random random(2);
  on_each_instruction_set([&] {
    for (const auto& format : quantized_formats<TestType>()) {
      for (int i = num_samples(12); i > 0; --i) {
        check(random, kManyRows<TestType>, format, random.integer(1, i % 6 == 0 ? 120 : 30),
              whole_groups(format, random.integer(1, 300)), random.integer(1, 70));
      }
      // Of several blocks.
      check(random, kManyRows<TestType>, format, random.integer(1, 15), whole_groups(format, 1200),
            35);
    }
    // Of groups that are longer than what is summed before their scale is applied.
    for (const auto kind : {WeightFormat::Kind::kInt8Groups, WeightFormat::Kind::kInt4Groups}) {
      for (const int64_t group_size : {256, 4096}) {
        const WeightFormat format{kind, DType::kFloat16, group_size, true};
        for (const int64_t num_rows : {3, 14}) {
          check(random, kManyRows<TestType>, format, num_rows, whole_groups(format, 4200), 37);
        }
        check(random, kManyRows<TestType>, format, 257, whole_groups(format, 200), 5);
      }
    }
  });
}

TEMPLATE_TEST_CASE("products of every number of rounded rows equal their definition",
                   "[kernels][rounded]", int16_t, int8_t) {
  std::vector<WeightFormat> formats = {{WeightFormat::Kind::kInt8}};
  if (sizeof(TestType) == 1) {
    formats.push_back({WeightFormat::Kind::kInt8Groups, DType::kFloat16, 32, true});
    formats.push_back({WeightFormat::Kind::kInt4Groups, DType::kFloat16, 32, true});
    formats.push_back({WeightFormat::Kind::kInt4Groups, DType::kFloat32, 64, false});
    formats.push_back({WeightFormat::Kind::kInt4Groups, DType::kFloat16, 128, true});
  }
  Random random(4);
  on_each_instruction_set([&] {
    for (const auto& format : formats) {
      for (int64_t num_rows = 1; num_rows <= 50; num_rows += num_samples(4) < 4 ? 5 : 1) {
        check(random, kManyRows<TestType>, format, num_rows,
              whole_groups(format, random.integer(400, 1200)), random.integer(1, 70));
      }
      check(random, kManyRows<TestType>, format, 256, whole_groups(format, 600), 35);
    }
  });
}

/// Of some rows, and of the most.
template <typename T>
void check_bits_amid_rows(Random& random, const Kernel<T>& kernel, const WeightFormat& format,
                          std::vector<int64_t> numbers_of_rows) {
  CAPTURE(kernel.name, name_of(format));
  const int64_t in_features = whole_groups(format, 4500);  // of several slices
  const StoredWeight weight(random, format, 7, in_features);
  const int64_t most = numbers_of_rows.back();
  const auto x = Numbers::random(random, DType::kFloat32, most * in_features);
  const auto product_of = [&](int64_t num_rows) {
    const RoundedInput<T> rounded(x, num_rows, in_features, kernel.tile_rows,
                                  rounded_sum_group(weight.rows(), RoundedRows<T>::kGroup));
    ProductOutput output(random, num_rows, 7);
    output.bias = Numbers(DType::kFloat32, 0);
    output.adds = false;
    output.stride = 7;
    output.out = Numbers::filled(DType::kFloat32, num_rows * 7, NAN);
    return multiply(kernel, rounded, weight, output, {0, 7}).values();
  };
  const auto all = product_of(most);
  for (const int64_t num_rows : numbers_of_rows) {
    CAPTURE(num_rows);
    const auto some = product_of(num_rows);
    CHECK(std::equal(some.begin(), some.end(), all.begin()));
  }
}

TEMPLATE_TEST_CASE("a rounded row gives the same bits amid any few rows", "[kernels][rounded]",
                   int16_t, int8_t) {
  Random random(3);
  on_each_instruction_set([&] {
    for (const auto& format : quantized_formats<TestType>()) {
      check_bits_amid_rows(random, kFewRows<TestType>, format, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    }
  });
}

TEMPLATE_TEST_CASE("a rounded row gives the same bits amid any many rows", "[kernels][rounded]",
                   int16_t, int8_t) {
  Random random(5);
  on_each_instruction_set([&] {
    for (const auto& format : quantized_formats<TestType>()) {
      check_bits_amid_rows(random, kManyRows<TestType>, format, {1, 7, 13, 256, 257});
    }
  });
}

}  // namespace
}  // namespace prepack
