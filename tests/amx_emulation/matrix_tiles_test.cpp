// What the kernels see of the emulation.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "amx_emulation/matrix_tiles_test.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/matrix_unit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// sums[m][n] += the products of all pairs or fours k, of a[m][k] with b[k][n]: [16, 16] each, with
/// rows `stride` lanes apart.
/// @return whether this instruction set has tiles
bool multiply_tiles([[maybe_unused]] bool are_bytes, [[maybe_unused]] const void* a,
                    [[maybe_unused]] const void* b, [[maybe_unused]] int64_t stride,
                    [[maybe_unused]] void* sums) {
#if PREPACK_HAS_MATRIX_UNIT
  const MatrixTiles tiles;
  MatrixTiles::load<3>(sums, stride);
  MatrixTiles::load<7>(a, stride);
  MatrixTiles::load<0>(b, stride);
  if (are_bytes) {
    MatrixTiles::add_byte_product<3, 7, 0>();
  } else {
    MatrixTiles::add_product<3, 7, 0>();
  }
  MatrixTiles::clear<7>();
  MatrixTiles::store<3>(sums, stride);
  return true;
#else
  return false;
#endif
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <vector>

#include "kernels/byte_tiles_product.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"

namespace prepack {

HWY_EXPORT(multiply_tiles);

namespace {

using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::SameBits;

/// Small integers, whose products are summed up without rounding.
Numbers integers(Random& random, DType dtype, int64_t size) {
  Numbers numbers(dtype, size);
  for (int64_t i = 0; i < size; ++i) numbers.set(i, static_cast<double>(random.integer(-9, 9)));
  return numbers;
}

/// sums + the products of a and b, by the definition.
/// @param together  numbers of a row of a, and of a column of b, that follow each other
Numbers plain_sums(const Numbers& a, const Numbers& b, int64_t together, int64_t stride,
                   Numbers sums) {
  for (int64_t m = 0; m < 16; ++m) {
    for (int64_t n = 0; n < 16; ++n) {
      double sum = sums[m * stride + n];
      for (int64_t k = 0; k < 16; ++k) {
        for (int64_t i = 0; i < together; ++i) {
          sum += a[together * (m * stride + k) + i] * b[together * (k * stride + n) + i];
        }
      }
      sums.set(m * stride + n, sum);
    }
  }
  return sums;
}

TEST_CASE("tiles are multiplied by their definition", "[amx]") {
  Random random(1);
  on_each_instruction_set([&] {
    if (!can_multiply_byte_tiles()) return;
    const int64_t stride = random.integer(16, 20);
    const int64_t num_lanes = 15 * stride + 16;
    const auto a = integers(random, DType::kBFloat16, 2 * num_lanes);
    const auto b = integers(random, DType::kBFloat16, 2 * num_lanes);
    auto sums = integers(random, DType::kFloat32, num_lanes);
    const auto expected = plain_sums(a, b, 2, stride, sums);
    REQUIRE(HWY_DYNAMIC_DISPATCH(multiply_tiles)(/*are_bytes=*/false, a.data(), b.data(), stride,
                                                 sums.data()));
    REQUIRE_THAT(sums, SameBits(expected));
  });
}

TEST_CASE("tiles of bytes are multiplied by their definition", "[amx]") {
  Random random(2);
  on_each_instruction_set([&] {
    if (!can_multiply_byte_tiles()) return;
    const int64_t stride = random.integer(16, 20);
    const int64_t num_lanes = 15 * stride + 16;
    const auto a = integers(random, DType::kFloat32, 4 * num_lanes);
    const auto b = integers(random, DType::kFloat32, 4 * num_lanes);
    const auto sums = integers(random, DType::kFloat32, num_lanes);
    const auto bytes_of = [](const Numbers& numbers) {
      std::vector<int8_t> bytes;
      for (const double number : numbers.values()) bytes.push_back(static_cast<int8_t>(number));
      return bytes;
    };
    std::vector<int32_t> actual;
    for (const double sum : sums.values()) actual.push_back(static_cast<int32_t>(sum));
    REQUIRE(HWY_DYNAMIC_DISPATCH(multiply_tiles)(/*are_bytes=*/true, bytes_of(a).data(),
                                                 bytes_of(b).data(), stride, actual.data()));
    const auto expected = plain_sums(a, b, 4, stride, sums).values();
    REQUIRE(std::equal(actual.begin(), actual.end(), expected.begin(), expected.end()));
  });
}

}  // namespace
}  // namespace prepack
#endif
