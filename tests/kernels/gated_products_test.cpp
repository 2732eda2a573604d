#include <vector>

#include "kernels/many_rows.h"
#include "kernels/rounded_product.h"
#include "support/each_instruction_set.h"
#include "support/gated_product.h"
#include "support/numbers.h"
#include "support/rounded_input.h"
#include "support/stored_weight.h"

namespace prepack {
namespace {

using testing::check_gated;
using testing::GatedShape;
using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::RoundedInput;
using testing::StoredWeight;
using testing::weight_formats;
using testing::WeightFormat;
using testing::whole_groups;

GatedShape any_shape(Random& random, const WeightFormat& format) {
  return {random.integer(1, 40), whole_groups(format, random.integer(1, 200)),
          random.integer(1, 90)};
}

/// Of several slices of rows, blocks and slices of k, and stretches of features.
std::vector<GatedShape> long_shapes(const WeightFormat& format) {
  return {{110, whole_groups(format, 600), 40},
          {13, whole_groups(format, 2200), 67},
          {5, whole_groups(format, 9000), 150},
          {27, whole_groups(format, 40), 400}};
}

void check_many_rows(Random& random, const WeightFormat& format, DType dtype,
                     const GatedShape& shape) {
  CAPTURE(name_of(format), to_string(dtype), shape.num_rows, shape.in_features, shape.num_gates);
  const StoredWeight weight(random, format, 2 * shape.num_gates, shape.in_features);
  const auto x = Numbers::random(random, dtype, shape.num_rows * shape.in_features);
  const int64_t num_tiles = PackedRows::num_tiles(shape.num_rows);
  Numbers packed(dtype, num_tiles * PackedRows::kTileRows * PackedRows::padded(shape.in_features));
  ManyRowsProduct product{};
  product.x = {dtype, packed.data()};
  product.weight = weight.rows();
  pack_rows(x.data(), shape.num_rows, shape.in_features, 0, num_tiles, product.x);
  check_gated(random, product, dtype, shape, multiply_many_rows);
}

template <typename T>
void check_rounded(Random& random, const WeightFormat& format, const GatedShape& shape) {
  static constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
  const auto dtype = kDTypes[random.integer(0, 2)];
  CAPTURE(name_of(format), to_string(dtype), shape.num_rows, shape.in_features, shape.num_gates);
  const StoredWeight weight(random, format, 2 * shape.num_gates, shape.in_features);
  const auto x = Numbers::random(random, dtype, shape.num_rows * shape.in_features);
  const RoundedInput<T> rounded(x, shape.num_rows, shape.in_features, kRoundedTileRows,
                                rounded_sum_group(weight.rows(), RoundedRows<T>::kGroup));
  RoundedProduct<T> product{};
  product.x = rounded.rows();
  product.weight = weight.rows();
  product.out_dtype = dtype;
  check_gated(random, product, dtype, shape,
              [](const RoundedProduct<T>& panels, int64_t first, int64_t last) {
                multiply_rounded_rows(panels, first, last);
              });
}

TEST_CASE("SwiGLU of a product of many rows has the bits of product and SwiGLU apart",
          "[kernels][products]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) {
        for (int i = num_samples(8); i > 0; --i) {
          check_many_rows(random, format, dtype, any_shape(random, format));
        }
        if (!format.is_plain() || format.dtype != dtype) continue;
        for (const auto& shape : long_shapes(format)) {
          check_many_rows(random, format, dtype, shape);
        }
        // Of more rows than are multiplied while weights come from memory.
        check_many_rows(random, format, dtype, {260, 96, 70});
      }
    }
  });
}

TEMPLATE_TEST_CASE("SwiGLU of a product of rounded rows has the bits of product and SwiGLU apart",
                   "[kernels][rounded]", int16_t, int8_t) {
  Random random(2);
  on_each_instruction_set([&] {
    for (const auto& format : weight_formats()) {
      const bool has_small_groups = format.kind == WeightFormat::Kind::kInt8Groups &&
                                    format.group_size < RoundedRows<TestType>::kGroup;
      if (format.is_plain() || (sizeof(TestType) == 1 && has_small_groups)) continue;
      for (int i = num_samples(8); i > 0; --i) {
        check_rounded<TestType>(random, format, any_shape(random, format));
      }
      if (num_samples(4) < 4) continue;
      for (const auto& shape : long_shapes(format)) check_rounded<TestType>(random, format, shape);
      // Of more rows than are multiplied while weights come from memory.
      check_rounded<TestType>(random, format, {260, whole_groups(format, 100), 33});
    }
  });
}

}  // namespace
}  // namespace prepack
