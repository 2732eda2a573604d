#include "kernels/rms_norm.h"

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
using testing::SameBits;

std::vector<Expected> plain_rms_norm(const Numbers& x, const Numbers& weight, double eps) {
  const int64_t size = weight.size();
  std::vector<Expected> expected;
  for (int64_t row = 0; row < x.size() / size; ++row) {
    double squares = 0;
    for (int64_t i = 0; i < size; ++i) squares += x[row * size + i] * x[row * size + i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(size) + eps);
    for (int64_t i = 0; i < size; ++i) {
      const double value = x[row * size + i] * scale * weight[i];
      const double roundings = 4 + std::sqrt(static_cast<double>(size));
      expected.push_back({value, std::abs(value) * roundings * 0x1p-24});
    }
  }
  return expected;
}

TEST_CASE("the RMSNorm kernel equals its definition, in place too", "[kernels]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(200); i > 0; --i) {
      for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
        const int64_t num_rows = random.integer(1, 5);
        const int64_t size = i % 20 == 0 ? random.integer(71, 3000) : random.integer(1, 70);
        CAPTURE(to_string(dtype), num_rows, size);
        auto x = Numbers::random(random, dtype, num_rows * size);
        const auto weight = Numbers::random(random, dtype, size);
        const double eps = i % 2 == 0 ? 1e-5 : 1;
        Numbers out(dtype, x.size());
        rms_norm(dtype, x.data(), weight.data(), eps, out.data(), num_rows, size);
        REQUIRE_THAT(out, Near(plain_rms_norm(x, weight, eps)));
        rms_norm(dtype, x.data(), weight.data(), eps, x.data(), num_rows, size);
        REQUIRE_THAT(x, SameBits(out));
      }
    }
  });
}

}  // namespace
}  // namespace prepack
