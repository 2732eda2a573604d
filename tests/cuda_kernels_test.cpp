// The GPU's kernels, run on the CPU by tests/cuda_emulation, against LibTorch's operators.

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/scalar_type.h"
#include "cuda/kernels.h"
#include "prepack/sampler.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/libtorch_twins.h"
#include "support/random.h"
#include "support/tensors.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::Random;
using testing::random_tensor;
using testing::tolerance;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

/// Rows that are parts of wider ones, which are NaN: nothing may be read or written beside them.
struct Guarded {
  at::Tensor all;    // [num_rows, before + size + after]
  at::Tensor rows;   // [num_rows, size]
  at::Tensor start;  // what `all` was

  Guarded(Random& random, int64_t num_rows, int64_t size, int64_t before, DType dtype) {
    const auto type = to_scalar_type(dtype);
    all = at::full({num_rows, before + size + 8}, NAN, at::TensorOptions(type));
    rows = all.narrow(1, before, size);
    rows.copy_(random_tensor(random, {num_rows, size}, type));
    start = all.clone();
  }

  /// What lies beside the rows, as bits: NaN is not equal to itself.
  void check_margins() const {
    const int64_t before = rows.storage_offset();
    for (const auto& [first, count] :
         {std::pair{int64_t{0}, before}, std::pair{before + rows.size(1), int64_t{8}}}) {
      CHECK_THAT(all.narrow(1, first, count), BitEqual(start.narrow(1, first, count)));
    }
  }
};

TEST_CASE("the GPU's rms_norm normalises rows and heads of any size, aligned or not",
          "[cuda_kernels]") {
  Random random(1);
  for (auto dtype : kDTypes) {
    for (int64_t size : {1, 7, 64, 80, 512, 513, 576, 2048, 2056}) {
      for (int64_t num_heads : {1, 3}) {
        for (int64_t before : {0, 8, 3}) {
          CAPTURE(to_string(dtype), size, num_heads, before);
          const int64_t num_tokens = random.integer(1, 9);
          const Guarded input(random, num_tokens, num_heads * size, before, dtype);
          const auto weight = random_tensor(random, {size}, to_scalar_type(dtype));
          const auto heads = input.rows.unflatten(1, {num_heads, size});
          const auto expected = testing::plain_rms_norm(heads, weight, 1e-5);
          const bool is_in_place = random.integer(0, 1) == 0;
          const auto out = is_in_place ? heads : at::full(heads.sizes(), 7, heads.options());
          cuda::rms_norm({.dtype = dtype,
                          .input = heads.data_ptr(),
                          .weight = weight.data_ptr(),
                          .out = out.data_ptr(),
                          .eps = 1e-5F,
                          .num_tokens = num_tokens,
                          .num_heads = num_heads,
                          .size = size,
                          .input_stride = heads.stride(0),
                          .out_stride = out.stride(0)},
                         nullptr);
          CHECK_THAT(out, AllClose(expected, 3 * tolerance(dtype).op));
          input.check_margins();
        }
      }
    }
  }
}

TEST_CASE("the GPU's SwiGLU equals LibTorch's operators", "[cuda_kernels]") {
  Random random(2);
  for (auto dtype : kDTypes) {
    for (int64_t size : {1, 9, 64, 520, 1000}) {
      CAPTURE(to_string(dtype), size);
      const auto type = to_scalar_type(dtype);
      const auto gate_up = random_tensor(random, {5, 2 * size}, type).mul(4);
      const auto out = at::empty({5, size}, type);
      cuda::swiglu({dtype, gate_up.data_ptr(), out.data_ptr(), 5, size}, nullptr);
      CHECK_THAT(out, AllClose(testing::plain_swiglu(gate_up), 16 * tolerance(dtype).op));
    }
  }
}

TEST_CASE("the GPU's SwiGLU of extreme gates is zero or the gate itself", "[cuda_kernels]") {
  const auto gate_up = at::tensor({-1e30F, 1e30F, 1.0F, 1.0F}).view({1, 4});
  const auto out = at::empty({1, 2});
  cuda::swiglu({DType::kFloat32, gate_up.data_ptr(), out.data_ptr(), 1, 2}, nullptr);
  CHECK(out[0][0].item<float>() == 0);
  CHECK(out[0][1].item<float>() == 1e30F);
}

struct HeadShape {
  int64_t num_query_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t half;
};

TEST_CASE("the GPU turns queries and keys in place, and writes keys and values to their slots",
          "[cuda_kernels]") {
  Random random(3);
  const HeadShape shapes[] = {{4, 2, 64, 32}, {3, 3, 10, 5}, {0, 2, 16, 8},
                              {2, 1, 80, 16}, {9, 3, 12, 3}, {4, 4, 32, 0}};
  for (auto dtype : kDTypes) {
    for (const auto& [num_query_heads, num_kv_heads, head_dim, half] : shapes) {
      for (int64_t before : {0, 8, 5}) {
        CAPTURE(to_string(dtype), num_query_heads, num_kv_heads, head_dim, half, before);
        const auto type = to_scalar_type(dtype);
        const int64_t num_turned = num_query_heads + num_kv_heads;
        const int64_t num_heads = num_turned + num_kv_heads;
        const Guarded input(random, 6, num_heads * head_dim, before, dtype);
        const auto heads = input.rows.unflatten(1, {num_heads, head_dim});
        const auto cos = random_tensor(random, {6, half});
        const auto sin = random_tensor(random, {6, half});
        const auto expected = testing::plain_rope(heads, num_turned, cos, sin);
        const std::vector<int64_t> slots = {4, 0, 7, -1, 2, 1};
        const auto keys = at::full({8, num_kv_heads, head_dim}, 7, type);
        const auto values = at::full_like(keys, 7);
        cuda::rope_and_store({.dtype = dtype,
                              .heads = heads.data_ptr(),
                              .stride = heads.stride(0),
                              .num_tokens = 6,
                              .num_query_heads = num_query_heads,
                              .num_kv_heads = num_kv_heads,
                              .head_dim = head_dim,
                              .cos = cos.data_ptr<float>(),
                              .sin = sin.data_ptr<float>(),
                              .half = half,
                              .slots = slots.data(),
                              .key_cache = keys.data_ptr(),
                              .value_cache = values.data_ptr()},
                             nullptr);
        CHECK_THAT(heads, AllClose(expected, 4 * tolerance(dtype).op));
        input.check_margins();
        for (int64_t slot = 0; slot < 8; ++slot) {
          CAPTURE(slot);
          const auto token = std::ranges::find(slots, slot) - slots.begin();
          if (token == std::ssize(slots)) {
            CHECK_THAT(keys[slot], BitEqual(at::full_like(keys[slot], 7)));
            CHECK_THAT(values[slot], BitEqual(at::full_like(keys[slot], 7)));
          } else {
            CHECK_THAT(keys[slot], BitEqual(heads[token].narrow(0, num_query_heads, num_kv_heads)));
            CHECK_THAT(values[slot], BitEqual(heads[token].narrow(0, num_turned, num_kv_heads)));
          }
        }
      }
    }
  }
}

TEST_CASE("the GPU turns heads that are stored nowhere", "[cuda_kernels]") {
  Random random(4);
  const auto heads = random_tensor(random, {5, 3, 16});
  const auto cos = random_tensor(random, {5, 8});
  const auto sin = random_tensor(random, {5, 8});
  const auto expected = testing::plain_rope(heads, 3, cos, sin);
  cuda::RopeAndStore tokens{};
  tokens.heads = heads.data_ptr();
  tokens.stride = heads.stride(0);
  tokens.num_tokens = 5;
  tokens.num_query_heads = 3;
  tokens.head_dim = 16;
  tokens.cos = cos.data_ptr<float>();
  tokens.sin = sin.data_ptr<float>();
  tokens.half = 8;
  cuda::rope_and_store(tokens, nullptr);
  CHECK_THAT(heads, AllClose(expected, 4 * tolerance(DType::kFloat32).op));
}

std::vector<int64_t> sample_on_gpu(const at::Tensor& logits,
                                   const std::vector<cuda::RowSampling>& sampling) {
  std::vector<int64_t> tokens(sampling.size(), -7);
  cuda::sample({.logits = logits.const_data_ptr<float>(),
                .num_rows = logits.size(0),
                .vocab_size = logits.size(1),
                .sampling = sampling.data(),
                .tokens = tokens.data()},
               nullptr);
  return tokens;
}

/// What the CPU draws from each row, and the GPU with the same random numbers.
void check_same_tokens(const at::Tensor& logits, const std::vector<SamplingParams>& params) {
  std::vector<cuda::RowSampling> sampling;
  std::vector<int64_t> expected;
  for (int64_t row = 0; row < logits.size(0); ++row) {
    const auto& p = params[row];
    Sampler on_gpu(p, row, {});
    sampling.push_back({.uniform = on_gpu.next_random(),
                        .temperature = p.temperature,
                        .top_p = p.top_p,
                        .min_p = p.min_p,
                        .top_k = static_cast<int32_t>(p.top_k)});
    auto copy = logits[row].clone();
    expected.push_back(
        Sampler(p, row, {}).sample({copy.data_ptr<float>(), static_cast<size_t>(copy.numel())}));
  }
  CHECK(sample_on_gpu(logits, sampling) == expected);
}

TEST_CASE("the GPU draws the tokens that the CPU draws, whatever the parameters",
          "[cuda_kernels]") {
  Random random(5);
  for (int64_t vocab_size : {1, 2, 24, 511, 512, 513, 5000}) {
    CAPTURE(vocab_size);
    const int64_t num_rows = 40;
    const auto logits = random_tensor(random, {num_rows, vocab_size}).mul(3);
    std::vector<SamplingParams> params;
    for (int64_t row = 0; row < num_rows; ++row) {
      const auto maybe = [&](double value, double otherwise) {
        return static_cast<float>(random.integer(0, 1) > 0 ? value : otherwise);
      };
      params.push_back({.temperature = maybe(0.3 + 2 * random.uniform(), row % 5 == 0 ? 0 : 1),
                        .top_k = random.integer(0, 1) * random.integer(0, vocab_size + 3),
                        .top_p = maybe(0.05 + 0.95 * random.uniform(), 1),
                        .min_p = maybe(0.4 * random.uniform(), 0),
                        .seed = static_cast<uint64_t>(row)});
    }
    check_same_tokens(logits, params);
  }
}

TEST_CASE("the GPU keeps the smaller ids among equals", "[cuda_kernels]") {
  Random random(6);
  // Few values, so that every cut goes through equal ones.
  const auto logits = random_tensor(random, {60, 700}).round();
  std::vector<SamplingParams> params;
  for (int64_t row = 0; row < logits.size(0); ++row) {
    params.push_back({.temperature = row % 7 == 0 ? 0.0F : 1.0F,
                      .top_k = row % 2 == 0 ? random.integer(1, 699) : 0,
                      .top_p = row % 3 == 0 ? 1 : static_cast<float>(random.uniform()),
                      .seed = static_cast<uint64_t>(row)});
  }
  check_same_tokens(logits, params);
}

TEST_CASE("the GPU never draws a token of probability zero", "[cuda_kernels]") {
  const auto logits = at::full({200, 30}, -std::numeric_limits<float>::infinity());
  logits.select(1, 7).fill_(1);
  logits.select(1, 21).fill_(-3);
  std::vector<SamplingParams> params(200, {.temperature = 4});
  for (size_t i = 0; i < params.size(); ++i) params[i].top_k = i % 2 == 0 ? 0 : 25;
  check_same_tokens(logits, params);
}

TEST_CASE("the GPU says where logits are not finite numbers", "[cuda_kernels]") {
  for (float value :
       {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    const auto logits =
        at::full({1, 600}, value == -std::numeric_limits<float>::infinity() ? value : 1.0F);
    logits[0][555] = value;
    for (float temperature : {0.0F, 1.0F}) {
      CHECK(
          sample_on_gpu(
              logits,
              {{.uniform = 0.5, .temperature = temperature, .top_p = 1, .min_p = 0, .top_k = 0}}) ==
          std::vector<int64_t>{-1});
    }
  }
}

}  // namespace
}  // namespace prepack
