#include "kernels/byte_tiles.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/byte_tiles_product.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/rounded_input.h"
#include "support/tiled_input.h"

namespace prepack {
namespace {

using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::RoundedInput;
using testing::TiledInput;

/// Whether one group of a row is as defined.
bool is_rounded(const TiledInput& rounded, const Numbers& x, int64_t in_features, int64_t row,
                int64_t group) {
  const int64_t begin = group * ByteTiles::kGroup;
  const int64_t end = std::min(begin + ByteTiles::kGroup, rounded.row_size());
  const auto number = [&](int64_t k) { return k < in_features ? x[row * in_features + k] : 0.0; };
  double largest = 0;
  for (int64_t k = begin; k < end; ++k) largest = std::max(largest, std::abs(number(k)));
  const double scale = rounded.scale(row, group);
  bool is_right = std::abs(scale - largest / 127) <= 1e-6 * scale;
  for (int64_t k = begin; k < end; ++k) {
    is_right = is_right && std::abs(rounded.value(row, k) * scale - number(k)) <= 0.51 * scale;
    if (k >= in_features) is_right = is_right && rounded.value(row, k) == 0;
  }
  return is_right;
}

TEST_CASE("rows are rounded to tiles of the nearest integers", "[kernels][rounded]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
      for (int i = num_samples(20); i > 0; --i) {
        const int64_t num_rows = random.integer(1, 70);
        const int64_t in_features = random.integer(1, i % 4 == 0 ? 1300 : 200);
        CAPTURE(to_string(dtype), num_rows, in_features);
        auto x = Numbers::random(random, dtype, num_rows * in_features);
        // A row of zeros, whose scale is zero.
        for (int64_t k = 0; k < in_features; ++k) x.set(k, 0);
        const TiledInput rounded(x, num_rows, in_features);
        for (int64_t row = 0; row < num_rows; ++row) {
          for (int64_t group = 0; group < rounded.num_groups(); ++group) {
            CAPTURE(row, group);
            REQUIRE(is_rounded(rounded, x, in_features, row, group));
          }
        }
        int64_t num_not_zero = 0;
        for (int64_t row = num_rows; row < rounded.num_filled_rows(); ++row) {
          for (int64_t k = 0; k < rounded.row_size(); ++k) {
            if (rounded.value(row, k) != 0) ++num_not_zero;
          }
          for (int64_t group = 0; group < rounded.num_groups(); ++group) {
            if (rounded.scale(row, group) != 0) ++num_not_zero;
          }
        }
        REQUIRE(num_not_zero == 0);
      }
    }
  });
}

TEST_CASE("a group of a tile with a number that is not finite has no scale", "[kernels][rounded]") {
  Random random(2);
  on_each_instruction_set([&] {
    for (const float number : {INFINITY, -INFINITY, NAN}) {
      constexpr int64_t kFeatures = 1200;
      auto x = Numbers::random(random, DType::kFloat32, 3 * kFeatures);
      const int64_t place = random.integer(0, kFeatures - 1);
      x.set(kFeatures + place, number);
      const TiledInput rounded(x, 3, kFeatures);
      for (int64_t row = 0; row < 3; ++row) {
        for (int64_t group = 0; group < rounded.num_groups(); ++group) {
          CAPTURE(number, place, row, group);
          const bool has_none = row == 1 && group == place / ByteTiles::kGroup;
          CHECK(std::isnan(rounded.scale(row, group)) == has_none);
        }
      }
    }
  });
}

TEST_CASE("rows are rounded alike one by one and in tiles", "[kernels][rounded]") {
  Random random(3);
  on_each_instruction_set([&] {
    for (int i = num_samples(20); i > 0; --i) {
      const auto dtype = i % 2 == 0 ? DType::kFloat32 : DType::kBFloat16;
      const int64_t num_rows = random.integer(1, 9);
      const int64_t in_features = random.integer(1, 700);
      CAPTURE(to_string(dtype), num_rows, in_features);
      const auto x = Numbers::random(random, dtype, num_rows * in_features);
      const TiledInput tiled(x, num_rows, in_features);
      const RoundedInput<int8_t> single(x, num_rows, in_features, /*tile_rows=*/1,
                                        /*sum_group=*/32, ByteTiles::kGroup);
      REQUIRE(single.wide() == tiled.wide());
      for (int64_t row = 0; row < num_rows; ++row) {
        for (int64_t unit = 0; unit < single.num_groups(); ++unit) {
          double sum = 0;
          double size = 0;
          for (int64_t k = 32 * unit; k < 32 * unit + 32; ++k) {
            const double wide = single.value(row, k) * static_cast<double>(single.scale(row, unit));
            sum += wide;
            size += std::abs(wide);
          }
          CHECK(std::abs(single.sum(row, unit) - sum) <= 1e-6 * size);
        }
      }
    }
  });
}

TEST_CASE("products of tiles are refused where there is no matrix unit", "[kernels][rounded]") {
  if (can_multiply_byte_tiles()) return;
  CHECK_THROWS_AS(multiply_byte_tiles({}, 0, 0), std::logic_error);
}

}  // namespace
}  // namespace prepack
