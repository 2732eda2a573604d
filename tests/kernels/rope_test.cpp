#include "kernels/rope.h"

#include <cmath>
#include <vector>

#include "support/each_instruction_set.h"
#include "support/numbers.h"

namespace prepack {
namespace {

using testing::Expected;
using testing::Near;
using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;

/// @param others  what the dimensions that are not turned hold
std::vector<Expected> plain_rope(const Numbers& heads, int64_t head_dim, const Numbers& cos,
                                 const Numbers& sin, const Numbers& others) {
  const int64_t half = cos.size();
  std::vector<Expected> expected;
  for (int64_t i = 0; i < heads.size(); ++i) {
    const int64_t dim = i % head_dim;
    if (dim >= 2 * half) {
      expected.push_back({others[i]});
      continue;
    }
    const bool is_first = dim < half;
    const double own = heads[i] * cos[dim % half];
    const double other = heads[is_first ? i + half : i - half] * sin[dim % half];
    expected.push_back(
        {is_first ? own - other : own + other, (std::abs(own) + std::abs(other)) * 0x1p-23});
  }
  return expected;
}

TEST_CASE("the rotation kernel turns pairs of each head, in place too", "[kernels]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(200); i > 0; --i) {
      for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
        const int64_t num_heads = random.integer(1, 5);
        const int64_t half = random.integer(1, 70);
        const int64_t head_dim = 2 * half + random.integer(0, 5);
        CAPTURE(to_string(dtype), num_heads, half, head_dim);
        auto heads = Numbers::random(random, dtype, num_heads * head_dim);
        const auto cos = Numbers::random(random, DType::kFloat32, half);
        const auto sin = Numbers::random(random, DType::kFloat32, half);
        auto out = Numbers::filled(dtype, heads.size(), 7);
        const auto expected = plain_rope(heads, head_dim, cos, sin, out);
        const auto expected_in_place = plain_rope(heads, head_dim, cos, sin, heads);
        turn_heads(dtype, heads.data(), cos.floats(), sin.floats(), out.data(), num_heads, head_dim,
                   2 * half);
        REQUIRE_THAT(out, Near(expected));
        turn_heads(dtype, heads.data(), cos.floats(), sin.floats(), heads.data(), num_heads,
                   head_dim, 2 * half);
        REQUIRE_THAT(heads, Near(expected_in_place));
      }
    }
  });
}

}  // namespace
}  // namespace prepack
