#include <cmath>
#include <limits>
#include <vector>

#include "kernels/linear.h"
#include "support/each_instruction_set.h"
#include "support/numbers.h"

namespace prepack {
namespace {

using testing::num_samples;
using testing::Numbers;
using testing::on_each_instruction_set;
using testing::Random;
using testing::SameBits;

constexpr DType kHalves[] = {DType::kBFloat16, DType::kFloat16};
constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

TEST_CASE("every number of half precision widens to itself", "[kernels]") {
  on_each_instruction_set([] {
    for (const auto dtype : kHalves) {
      CAPTURE(to_string(dtype));
      Numbers halves(dtype, 0x10000);
      for (int64_t i = 0; i < halves.size(); ++i) halves.set_bits(i, static_cast<uint32_t>(i));
      Numbers floats(DType::kFloat32, halves.size());
      widen(dtype, halves.data(), floats.floats(), halves.size());
      int64_t num_different = 0;
      for (int64_t i = 0; i < halves.size(); ++i) {
        const double expected = halves[i];
        const bool is_same =
            std::isnan(expected)
                ? std::isnan(floats[i])
                : floats[i] == expected && std::signbit(floats[i]) == std::signbit(expected);
        if (!is_same) ++num_different;
      }
      CHECK(num_different == 0);
    }
  });
}

/// Numbers of all sizes, what lies halfway between two of the dtype's, and next to that.
Numbers numbers_to_narrow(DType dtype) {
  Random random(1);
  std::vector<double> numbers = {0.0, -0.0, INFINITY, -INFINITY, NAN};
  for (int exponent = -149; exponent < 128; ++exponent) {
    for (int i = 0; i < 20; ++i) numbers.push_back(std::ldexp(random.normal(), exponent));
  }
  Numbers halves(dtype, 2);
  const uint32_t infinity = dtype == DType::kFloat16 ? 0x7C00 : 0x7F80;
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    halves.set_bits(0, bits);
    const double step = testing::step_at(dtype, halves[0]);
    const auto middle = static_cast<float>(halves[0] + step / 2);  // float32 holds it
    for (const float number :
         {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, INFINITY)}) {
      numbers.push_back(bits % 2 == 0 ? number : -number);
    }
  }
  Numbers floats(DType::kFloat32, std::ssize(numbers));
  for (int64_t i = 0; i < floats.size(); ++i) floats.set(i, numbers[i]);
  return floats;
}

TEST_CASE("numbers narrow to the nearest, ties to even", "[kernels]") {
  for (const auto dtype : kHalves) {
    const auto floats = numbers_to_narrow(dtype);
    Numbers expected(dtype, floats.size());
    for (int64_t i = 0; i < floats.size(); ++i) expected.set(i, floats[i]);
    on_each_instruction_set([&] {
      CAPTURE(to_string(dtype));
      Numbers halves(dtype, floats.size());
      narrow(floats.floats(), dtype, halves.data(), floats.size());
      CHECK_THAT(halves, SameBits(expected));
    });
  }
}

TEST_CASE("as many numbers are converted as there are", "[kernels]") {
  Random random(2);
  on_each_instruction_set([&] {
    for (int i = num_samples(200); i > 0; --i) {
      const int64_t size = random.integer(0, 70);
      for (const auto dtype : kDTypes) {
        CAPTURE(to_string(dtype), size);
        const auto numbers = Numbers::random(random, dtype, size);
        Numbers floats(DType::kFloat32, size);
        widen(dtype, numbers.data(), floats.floats(), size);
        CHECK(floats.values() == numbers.values());
        Numbers narrowed(dtype, size);
        narrow(floats.floats(), dtype, narrowed.data(), size);
        CHECK_THAT(narrowed, SameBits(numbers));
      }
    }
  });
}

}  // namespace
}  // namespace prepack
