#include "kernels/swiglu.h"

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

std::vector<Expected> plain_swiglu(const Numbers& gate_up, int64_t size) {
  std::vector<Expected> expected;
  for (int64_t i = 0; i < gate_up.size() / 2; ++i) {
    const int64_t place = i / size * 2 * size + i % size;
    const double gate = gate_up[place];
    const double up = gate_up[place + size];
    const double value = gate / (1 + std::exp(-gate)) * up;
    // A few roundings; below float32's normal numbers some instructions give zero.
    expected.push_back({value, std::abs(value) * 0x1p-21 + (1 + std::abs(up)) * 2e-36});
  }
  return expected;
}

TEST_CASE("the SwiGLU kernel equals its definition for gates of any size", "[kernels]") {
  Random random(1);
  on_each_instruction_set([&] {
    for (int i = num_samples(200); i > 0; --i) {
      for (const auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
        const int64_t num_rows = random.integer(1, 5);
        const int64_t size = random.integer(1, 70);
        const double scale = i % 3 == 0 ? 1 : i % 3 == 1 ? 20 : 1000;
        CAPTURE(to_string(dtype), num_rows, size, scale);
        const auto gate_up = Numbers::random(random, dtype, num_rows * 2 * size, scale);
        Numbers out(dtype, num_rows * size);
        swiglu(dtype, gate_up.data(), out.data(), num_rows, size);
        REQUIRE_THAT(out, Near(plain_swiglu(gate_up, size)));
      }
    }
  });
}

TEST_CASE("SwiGLU of extreme gates is zero or the gate itself", "[kernels]") {
  on_each_instruction_set([] {
    for (const double gate : {-1e30, 1e30}) {
      auto gate_up = Numbers::filled(DType::kFloat32, 40, 1);
      for (int64_t i = 0; i < 20; ++i) gate_up.set(i, gate);
      auto out = Numbers::filled(DType::kFloat32, 20, NAN);
      swiglu(DType::kFloat32, gate_up.data(), out.data(), 1, 20);
      const double expected = gate < 0 ? 0 : gate_up[0];
      CHECK(out.values() == std::vector<double>(20, expected));
    }
  });
}

}  // namespace
}  // namespace prepack
