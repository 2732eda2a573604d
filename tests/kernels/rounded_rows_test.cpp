#include "kernels/rounded_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/rounded_product.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"
#include "support/rounded_input.h"

namespace prepack {
namespace {

using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::RoundedInput;

/// Whether one group of a row is as defined.
template <typename T>
bool is_rounded(const RoundedInput<T>& rounded, const Numbers& x, int64_t in_features, int64_t row,
                int64_t group) {
  const auto number = [&](int64_t k) { return k < in_features ? x[row * in_features + k] : 0.0; };
  constexpr int64_t kGroup = RoundedRows<T>::kGroup;
  constexpr double kLargest = std::numeric_limits<T>::max();
  const int64_t begin = group * kGroup;
  double largest = 0;
  for (int64_t k = begin; k < begin + kGroup; ++k) largest = std::max(largest, std::abs(number(k)));
  const double scale = rounded.scale(row, group);
  bool is_right = std::abs(scale - largest / kLargest) <= 1e-6 * scale;
  const int64_t sum_group = rounded.rows().sum_group;
  for (int64_t unit = begin; unit < begin + kGroup; unit += sum_group) {
    double sum = 0;
    double size = 0;
    for (int64_t k = unit; k < unit + sum_group; ++k) {
      const double wide = rounded.value(row, k) * scale;
      // 32767 and a few roundings of float32 are 0.01 of a step.
      is_right = is_right && std::abs(wide - number(k)) <= 0.51 * scale;
      if (k >= in_features) is_right = is_right && rounded.value(row, k) == 0;
      sum += wide;
      size += std::abs(wide);
    }
    is_right = is_right && std::abs(rounded.sum(row, unit / sum_group) - sum) <= 1e-6 * size;
  }
  return is_right;
}

TEMPLATE_TEST_CASE("rows are rounded to the nearest integers, whatever their tiles",
                   "[kernels][rounded]", int16_t, int8_t) {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(60); i > 0; --i) {
      const int64_t num_rows = random.integer(1, 30);
      const int64_t in_features = random.integer(1, 200);
      auto x = Numbers::random(random, DType::kFloat32, num_rows * in_features);
      // A row of zeros, whose scale is zero.
      for (int64_t k = 0; k < in_features; ++k) x.set(k, 0);
      for (const int64_t tile_rows : {int64_t{1}, kRoundedTileRows}) {
        const int64_t sum_group =
            std::min(int64_t{16} << random.integer(0, 2), RoundedRows<TestType>::kGroup);
        CAPTURE(num_rows, in_features, tile_rows, sum_group);
        const RoundedInput<TestType> rounded(x, num_rows, in_features, tile_rows, sum_group);
        for (int64_t row = 0; row < num_rows; ++row) {
          for (int64_t group = 0; group < rounded.num_groups(); ++group) {
            CAPTURE(row, group);
            REQUIRE(is_rounded(rounded, x, in_features, row, group));
          }
        }
        const int64_t num_filled = rounded.rows().num_tiles(num_rows) * tile_rows;
        int64_t num_not_zero = 0;
        for (int64_t row = num_rows; row < num_filled; ++row) {
          for (int64_t k = 0; k < rounded.row_size(); ++k) {
            if (rounded.value(row, k) != 0) ++num_not_zero;
          }
        }
        REQUIRE(num_not_zero == 0);
      }
    }
  });
}

TEMPLATE_TEST_CASE("a group with a number that is not finite has no scale", "[kernels][rounded]",
                   int16_t, int8_t) {
  Random random(2);
  on_each_instruction_set([&] {
    for (const float number : {INFINITY, -INFINITY, NAN}) {
      for (const int64_t tile_rows : {int64_t{1}, kRoundedTileRows}) {
        auto x = Numbers::random(random, DType::kFloat32, 3 * 150);
        const int64_t place = random.integer(64, 127);
        const int64_t of_place = place / RoundedRows<TestType>::kGroup;
        x.set(150 + place, number);
        const RoundedInput<TestType> rounded(x, 3, 150, tile_rows, 32);
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t group = 0; group < rounded.num_groups(); ++group) {
            CAPTURE(number, tile_rows, place, row, group);
            CHECK(std::isnan(rounded.scale(row, group)) == (row == 1 && group == of_place));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace prepack
