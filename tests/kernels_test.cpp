// The CPU's own loops against LibTorch's operators, for every instruction set that this machine
// has.

#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>

#include <limits>

#include "base/scalar_type.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/instruction_sets.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::Random;
using testing::random_tensor;
using testing::tolerance;

/// One kernel's input: any size, so that there are rests behind the last whole vector.
struct Sample {
  DType dtype;
  int64_t num_rows;
  int64_t size;
};

/// Checks many samples of each dtype on each instruction set.
template <typename Check>
void for_samples(const Check& check) {
  for (const auto target : testing::instruction_sets()) {
    const testing::OnlyInstructionSet only(target);
    Random random(1);
    for (int i = 0; i < 200; ++i) {
      for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
        const Sample sample{dtype, random.integer(1, 5), random.integer(1, 70)};
        CAPTURE(hwy::TargetName(target), to_string(dtype), sample.num_rows, sample.size);
        check(sample, random);
      }
    }
  }
}

TEST_CASE("the rms_norm kernel equals LibTorch's", "[kernels]") {
  for_samples([](const Sample& sample, Random& random) {
    const auto type = to_scalar_type(sample.dtype);
    const auto x = random_tensor(random, {sample.num_rows, sample.size}, type);
    const auto weight = random_tensor(random, {sample.size}, type);
    auto out = at::empty_like(x);
    rms_norm(sample.dtype, x.data_ptr(), weight.data_ptr(), 1e-5, out.data_ptr(), sample.num_rows,
             sample.size);
    const auto expected =
        at::rms_norm(x.to(at::kDouble), {sample.size}, weight.to(at::kDouble), 1e-5);
    REQUIRE_THAT(out, AllClose(expected, 3 * tolerance(sample.dtype).op));
  });
}

TEST_CASE("the SwiGLU kernel equals LibTorch's operators", "[kernels]") {
  for_samples([](const Sample& sample, Random& random) {
    const auto type = to_scalar_type(sample.dtype);
    const auto gate = random_tensor(random, {sample.num_rows, sample.size}, type).mul(4);
    const auto up = random_tensor(random, {sample.num_rows, sample.size}, type);
    const auto gate_up = at::cat({gate, up}, 1);
    auto out = at::empty_like(gate);
    swiglu(sample.dtype, gate_up.data_ptr(), out.data_ptr(), sample.num_rows, sample.size);
    REQUIRE_THAT(out, AllClose(at::silu(gate.to(at::kDouble)).mul(up.to(at::kDouble)),
                               4 * tolerance(sample.dtype).op));
  });
}

TEST_CASE("SwiGLU is right for gates of any size", "[kernels]") {
  for_samples([](const Sample& sample, Random& random) {
    const auto type = to_scalar_type(sample.dtype);
    const auto gate = random_tensor(random, {1, sample.size}, type).mul(1000);
    const auto gate_up = at::cat({gate, at::ones_like(gate)}, 1);
    auto out = at::empty_like(gate);
    swiglu(sample.dtype, gate_up.data_ptr(), out.data_ptr(), 1, sample.size);
    REQUIRE_THAT(out, AllClose(at::silu(gate.to(at::kDouble)), 1000 * tolerance(sample.dtype).op));
  });
}

TEST_CASE("SwiGLU of extreme gates is zero or the gate itself", "[kernels]") {
  const auto gate_up = at::full({2, 20}, 1.0, at::kFloat);
  gate_up.narrow(1, 0, 10)[0].fill_(-1e30);
  gate_up.narrow(1, 0, 10)[1].fill_(1e30);
  auto out = at::full({2, 10}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  swiglu(DType::kFloat32, gate_up.data_ptr(), out.data_ptr(), 2, 10);
  CHECK(out[0].eq(0).all().item<bool>());
  CHECK(out[1].eq(gate_up[1][0]).all().item<bool>());
}

TEST_CASE("the rotation kernel turns pairs of each head, in place too", "[kernels]") {
  for_samples([](const Sample& sample, Random& random) {
    const auto type = to_scalar_type(sample.dtype);
    const int64_t half = sample.size;
    const int64_t num_others = random.integer(0, 5);  // dimensions that are not turned
    const int64_t head_dim = 2 * half + num_others;
    const auto heads = random_tensor(random, {sample.num_rows, head_dim}, type);
    const auto cos = random_tensor(random, {half});
    const auto sin = random_tensor(random, {half});
    auto out = at::full_like(heads, 7);
    turn_heads(sample.dtype, heads.data_ptr(), cos.data_ptr<float>(), sin.data_ptr<float>(),
               out.data_ptr(), sample.num_rows, head_dim, 2 * half);
    const auto others = [&](const at::Tensor& all) { return all.narrow(1, 2 * half, num_others); };
    REQUIRE_THAT(others(out), testing::BitEqual(at::full_like(others(heads), 7)));
    const auto first = heads.narrow(1, 0, half).to(at::kDouble);
    const auto second = heads.narrow(1, half, half).to(at::kDouble);
    REQUIRE_THAT(
        out.narrow(1, 0, 2 * half),
        AllClose(
            at::cat({first.mul(cos).sub(second.mul(sin)), second.mul(cos).add(first.mul(sin))}, 1),
            2 * tolerance(sample.dtype).op));
    const auto out_in_place = heads.clone();
    turn_heads(sample.dtype, out_in_place.data_ptr(), cos.data_ptr<float>(), sin.data_ptr<float>(),
               out_in_place.data_ptr(), sample.num_rows, head_dim, 2 * half);
    REQUIRE_THAT(out_in_place.narrow(1, 0, 2 * half),
                 testing::BitEqual(out.narrow(1, 0, 2 * half)));
    REQUIRE_THAT(others(out_in_place), testing::BitEqual(others(heads)));
  });
}

}  // namespace
}  // namespace prepack
