#include "model/rms_norm.h"

#include <ATen/ops/zeros.h>

#include <cmath>

#include "base/scalar_type.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::Random;
using testing::random_tensor;
using testing::tolerance;

at::Tensor naive_rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps) {
  const auto x = input.to(at::kDouble).contiguous();
  const auto w = weight.to(at::kDouble).contiguous();
  auto output = at::zeros(x.sizes(), at::kDouble);
  const int64_t size = x.size(1);
  for (int64_t token = 0; token < x.size(0); ++token) {
    const auto* in = x.data_ptr<double>() + token * size;
    auto* out = output.data_ptr<double>() + token * size;
    double squares = 0;
    for (int64_t i = 0; i < size; ++i) squares += in[i] * in[i];
    const double root = std::sqrt(squares / static_cast<double>(size) + eps);
    for (int64_t i = 0; i < size; ++i) out[i] = in[i] / root * w.data_ptr<double>()[i];
  }
  return output;
}

TEST_CASE("rms_norm equals its definition in float64", "[rms_norm]") {
  Random random(1);
  for (int64_t size : {1, 25, 39, 576, 2048}) {
    for (double scale : {1e-3, 1.0, 300.0}) {
      CAPTURE(size, scale);
      const RmsNorm norm{random_tensor(random, {size}), 1e-5};
      const auto input = random_tensor(random, {5, size}).mul(scale);
      CHECK_THAT(norm(input), AllClose(naive_rms_norm(input, norm.weight, norm.eps),
                                       tolerance(DType::kFloat32).op));
    }
  }
}

TEST_CASE("rms_norm adds its eps to the mean of the squares", "[rms_norm]") {
  Random random(2);
  const auto input = random_tensor(random, {3, 40}).mul(1e-3);
  for (double eps : {1e-6, 1e-5, 1e-1}) {
    CAPTURE(eps);
    const RmsNorm norm{random_tensor(random, {40}), eps};
    CHECK_THAT(norm(input),
               AllClose(naive_rms_norm(input, norm.weight, eps), tolerance(DType::kFloat32).op));
  }
  const RmsNorm norm{random_tensor(random, {40}), 1e-6};
  const auto zeros = at::zeros({2, 40});
  CHECK_THAT(norm(zeros), AllClose(zeros, 0));
}

TEST_CASE("rms_norm of half precision is computed in float32", "[rms_norm]") {
  Random random(3);
  for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
    INFO(to_string(dtype));
    const RmsNorm norm{random_tensor(random, {4096}, to_scalar_type(dtype)), 1e-5};
    // In float16 itself the squares of these would overflow; in bfloat16 their sum would stall.
    const auto input = random_tensor(random, {3, 4096}).mul(300).to(to_scalar_type(dtype));
    const auto output = norm(input);
    CHECK(output.scalar_type() == to_scalar_type(dtype));
    // Two roundings to the dtype: of the normed input and of its product with the weight.
    const double rounding = dtype == DType::kBFloat16 ? 0x1.0p-8 : 0x1.0p-11;
    CHECK_THAT(output, AllClose(naive_rms_norm(input, norm.weight, norm.eps), 1e-6, 2 * rounding));
  }
}

TEST_CASE("rms_norm normalises some heads of a token, and leaves the others as they were",
          "[rms_norm]") {
  Random random(4);
  for (auto dtype : {DType::kFloat32, DType::kBFloat16}) {
    INFO(to_string(dtype));
    const auto type = to_scalar_type(dtype);
    const RmsNorm norm{random_tensor(random, {10}, type), 1e-5};
    const auto all = random_tensor(random, {40, 5, 10}, type);
    const auto before = all.clone();
    norm.normalise_heads(all.narrow(1, 1, 3));
    CHECK_THAT(all.narrow(1, 0, 1), testing::BitEqual(before.narrow(1, 0, 1)));
    CHECK_THAT(all.narrow(1, 4, 1), testing::BitEqual(before.narrow(1, 4, 1)));
    CHECK_THAT(all.narrow(1, 1, 3).reshape({-1, 10}),
               testing::BitEqual(norm(before.narrow(1, 1, 3).reshape({-1, 10}))));
  }
}

}  // namespace
}  // namespace prepack
