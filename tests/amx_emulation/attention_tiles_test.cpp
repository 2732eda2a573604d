#include "amx_emulation/emulation.h"
#include "kernels/attention.h"
#include "kernels/many_rows.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"

namespace prepack {
namespace {

using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;

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
