// What the kernels see of the emulation.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "amx_emulation/matrix_tiles_test.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/matrix_unit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// sums[m][n] += the products of all pairs k, of a[m][k] with b[k][n]: [16, 16] each, with rows
/// `stride` lanes apart.
/// @return whether this instruction set has tiles
bool multiply_tiles([[maybe_unused]] const float* a, [[maybe_unused]] const float* b,
                    [[maybe_unused]] int64_t stride, [[maybe_unused]] float* sums) {
#if PREPACK_HAS_MATRIX_UNIT
  const MatrixTiles tiles;
  MatrixTiles::load<3>(sums, stride);
  MatrixTiles::load<7>(a, stride);
  MatrixTiles::load<0>(b, stride);
  MatrixTiles::add_product<3, 7, 0>();
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

#include "amx_emulation/emulation.h"
#include "kernels/attention.h"
#include "kernels/many_rows.h"
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

TEST_CASE("tiles are multiplied by their definition", "[amx]") {
  Random random(1);
  on_each_instruction_set([&] {
    REQUIRE(has_matrix_unit());
    if (!has_bfloat16_dot_products()) return;
    const int64_t stride = random.integer(16, 20);
    const int64_t num_lanes = 15 * stride + 16;
    auto a = integers(random, DType::kBFloat16, 2 * num_lanes);
    auto b = integers(random, DType::kBFloat16, 2 * num_lanes);
    auto sums = integers(random, DType::kFloat32, num_lanes);
    auto expected = sums;
    for (int64_t m = 0; m < 16; ++m) {
      for (int64_t n = 0; n < 16; ++n) {
        double sum = expected[m * stride + n];
        for (int64_t k = 0; k < 16; ++k) {
          for (int64_t half = 0; half < 2; ++half) {
            sum += a[2 * (m * stride + k) + half] * b[2 * (k * stride + n) + half];
          }
        }
        expected.set(m * stride + n, sum);
      }
    }
    REQUIRE(HWY_DYNAMIC_DISPATCH(multiply_tiles)(a.floats(), b.floats(), stride, sums.floats()));
    REQUIRE_THAT(sums, SameBits(expected));
  });
}

/// Products of tiles that attention of 40 queries computes.
int64_t num_products_of(DType dtype, int64_t head_dim) {
  constexpr int64_t kNumQueries = 40;
  Random random(2);
  auto numbers = Numbers::random(random, dtype, kNumQueries * head_dim);
  auto out = numbers;
  const SlotRun run{0, kNumQueries};
  const auto before = amx::num_products();
  attend_block({.dtype = dtype,
                .queries = numbers.data(),
                .keys = numbers.data(),
                .values = numbers.data(),
                .out = out.data(),
                .query_stride = head_dim,
                .key_stride = head_dim,
                .value_stride = head_dim,
                .out_stride = head_dim,
                .runs = {&run, 1},
                .num_queries = kNumQueries,
                .num_keys = kNumQueries,
                .group = 1,
                .head_dim = head_dim,
                .window = kNumQueries});
  return amx::num_products() - before;
}

TEST_CASE("attention in bfloat16 with heads of a multiple of 32 multiplies tiles", "[amx]") {
  on_each_instruction_set([&] {
    const bool has_tiles = has_bfloat16_dot_products();
    for (const int64_t head_dim : {32, 64, 96, 128}) {
      CAPTURE(head_dim);
      REQUIRE((num_products_of(DType::kBFloat16, head_dim) > 0) == has_tiles);
      REQUIRE(num_products_of(DType::kFloat32, head_dim) == 0);
    }
    REQUIRE(num_products_of(DType::kBFloat16, 80) == 0);
  });
}

}  // namespace
}  // namespace prepack
#endif
