// The GPU's products with quantized weights, on the CPU: their kernels are run by
// tests/cuda_emulation, and what cuBLAS does is done by LibTorch.

#include <ATen/ops/_int_mm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/scalar_type.h"
#include "model/quantized_gpu_product.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/guarded_tensor.h"
#include "support/random.h"
#include "support/random_quantized.h"
#include "support/tensors.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::guarded;
using testing::Random;
using testing::random_quantized;
using testing::random_tensor;
using testing::tolerance;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

/// The kernels that products ask for, and no others.
CudaHalf emulated_half() {
  CudaHalf half{};
  half.widen_rows = [](const cuda::QuantizedRows& rows, DType dtype, void* out, c10::DeviceIndex) {
    const auto widened =
        guarded(at::zeros({rows.num_rows, rows.in_features}, to_scalar_type(dtype)));
    cuda::widen_rows(rows, dtype, widened.data_ptr(), nullptr);
    std::memcpy(out, widened.const_data_ptr(), widened.nbytes());
  };
  half.multiply_few_rows = [](const cuda::QuantizedProduct& product, c10::DeviceIndex) {
    cuda::multiply_few_rows(product, nullptr);
  };
  half.round_rows = [](const cuda::RoundedRows& rows, c10::DeviceIndex) {
    cuda::round_rows(rows, nullptr);
  };
  half.scale_sums = [](const cuda::ScaledSums& sums, c10::DeviceIndex) {
    cuda::scale_sums(sums, nullptr);
  };
  return half;
}

struct Shape {
  int64_t in_features;
  PackedFormat format;
};

/// Every kind of weight, in rows of whole chunks of 16 bytes and others.
std::vector<Shape> shapes() {
  std::vector<Shape> shapes;
  for (int64_t in_features : {1, 7, 16, 33, 96, 520, 1040}) shapes.push_back({in_features, {}});
  for (auto scale_dtype : {DType::kFloat32, DType::kFloat16}) {
    for (bool has_minimums : {false, true}) {
      for (int64_t group_size : {16, 32, 128}) {
        for (int64_t num_groups : {1, 5}) {
          shapes.push_back({group_size * num_groups, {8, group_size, scale_dtype, has_minimums}});
        }
      }
    }
    for (int64_t group_size : {32, 64, 128}) {
      for (int64_t num_groups : {1, 3, 17}) {
        shapes.push_back({group_size * num_groups, {4, group_size, scale_dtype, true}});
      }
    }
  }
  return shapes;
}

TEST_CASE("the GPU widens quantized weights to what they stand for", "[cuda_kernels]") {
  Random random(11);
  const auto half = emulated_half();
  for (const auto& [in_features, format] : shapes()) {
    const int64_t out_features = random.integer(1, 6);
    CAPTURE(in_features, format.bits, format.group_size, format.has_minimums, out_features);
    const auto weight = random_quantized(random, out_features, in_features, format);
    const auto expected = weight.dequantize();
    for (auto dtype : kDTypes) {
      CAPTURE(to_string(dtype));
      const auto ids = at::tensor(random.integers(9, 0, out_features - 1), at::kLong);
      const auto rows = gather_on_gpu(half, weight, ids, to_scalar_type(dtype));
      CHECK_THAT(rows, AllClose(expected.index_select(0, ids), 2 * tolerance(dtype).op));
      if (dtype == DType::kFloat32 && !format.has_minimums) {
        CHECK(rows.equal(expected.index_select(0, ids)));
      }
    }
  }
}

/// Compares a product with its definition, for outputs that are written and added to, with a bias
/// and without.
/// @param rounding  how far the product may be off besides, as a part of its size
void check_product(Random& random, const CudaHalf& half, const QuantizedWeight& weight,
                   int64_t num_rows, DType dtype, double rounding, int64_t slice_bytes) {
  const auto type = to_scalar_type(dtype);
  const auto wide = weight.dequantize().to(at::kDouble);
  const int64_t out_features = weight.out_features();
  const double size = std::sqrt(static_cast<double>(weight.in_features));
  for (int64_t offset : {0, 3}) {
    const auto numbers = random_tensor(random, {num_rows * weight.in_features + offset}, type);
    // At the offset they are aligned for nothing, else they end where nothing may be read.
    const auto x = (offset == 0 ? guarded(numbers) : numbers)
                       .narrow(0, offset, num_rows * weight.in_features)
                       .view({num_rows, weight.in_features});
    const Bias bias =
        offset == 0 ? std::nullopt : Bias(random_tensor(random, {out_features}, type));
    for (bool adds : {false, true}) {
      CAPTURE(to_string(dtype), num_rows, offset, adds);
      const auto all = at::full({num_rows, out_features + 24}, NAN, type);
      const auto out = all.narrow(1, offset, out_features);
      const auto before = random_tensor(random, {num_rows, out_features}, type);
      if (adds) out.copy_(before);
      auto expected = x.to(at::kDouble).mm(wide.t());
      if (bias) expected.add_(*bias);
      if (adds) expected.add_(before);
      quantized_gpu_product(half, x, weight, bias, out, adds, slice_bytes);
      CHECK_THAT(out, AllClose(expected, size * (8 * tolerance(dtype).op + rounding)));
      CHECK(all.isnan().sum().item<int64_t>() == 24 * num_rows);  // beside it
    }
  }
}

TEST_CASE("the GPU multiplies few rows with quantized weights as they are stored",
          "[cuda_kernels]") {
  Random random(12);
  const auto half = emulated_half();
  for (const auto& [in_features, format] : shapes()) {
    const int64_t out_features = random.integer(1, 19);
    CAPTURE(in_features, format.bits, format.group_size, format.has_minimums, out_features);
    const auto weight = random_quantized(random, out_features, in_features, format);
    check_product(random, half, weight, random.integer(1, 16), kDTypes[random.integer(0, 2)], 0,
                  kGpuSliceBytes);
  }
}

TEST_CASE("the GPU multiplies many rows with quantized weights, widened slice by slice",
          "[cuda_kernels]") {
  Random random(13);
  const auto half = emulated_half();
  for (const auto& [in_features, format] :
       {Shape{24, {}}, Shape{48, {8, 16, DType::kFloat16, false}},
        Shape{96, {4, 32, DType::kFloat16, true}}}) {
    CAPTURE(in_features, format.bits);
    for (int64_t out_features : {9, 600}) {
      const auto weight = random_quantized(random, out_features, in_features, format);
      check_product(random, half, weight, 17, DType::kFloat32, 0, /*slice_bytes=*/1);
      check_product(random, half, weight, 21, DType::kBFloat16, 0, /*slice_bytes=*/1);
    }
  }
}

TEST_CASE("the GPU multiplies many rows rounded to 8 bits with weights of 8 bits",
          "[cuda_kernels]") {
  Random random(14);
  const auto half = emulated_half();
  for (auto dtype : kDTypes) {
    for (int64_t out_features : {8, 600}) {
      for (int64_t in_features : {8, 96, 264}) {
        CAPTURE(out_features, in_features);
        auto weight = random_quantized(random, out_features, in_features, {});
        weight.activations = Activations::kInt8;
        REQUIRE(has_integer_gpu_product(weight));
        check_product(random, half, weight, random.integer(17, 30), dtype, 0.06,
                      /*slice_bytes=*/1);
      }
    }
  }
}

TEST_CASE("a GPU's product of integers is that of the rounded rows", "[cuda_kernels]") {
  Random random(15);
  const auto half = emulated_half();
  auto weight = random_quantized(random, 16, 64, {});
  weight.activations = Activations::kInt8;
  const auto wide = weight.dequantize().to(at::kDouble);
  const auto x = random_tensor(random, {17, 80}).narrow(1, 3, 64);  // a part of longer rows
  const auto scales = x.abs().amax(1, /*keepdim=*/true).div(127);
  const auto rounded = x.div(scales).round().mul(scales);
  const auto out = at::empty({17, 16});
  quantized_gpu_product(half, x, weight, std::nullopt, out, /*adds=*/false);
  CHECK_THAT(out, AllClose(rounded.to(at::kDouble).mm(wide.t()), 1e-4));
  CHECK_FALSE(out.allclose(x.mm(weight.dequantize().t()), 0, 1e-4));
  // LibTorch has none of fewer rows.
  const auto of_few = at::empty({16, 16});
  const auto few = x.narrow(0, 0, 16);
  quantized_gpu_product(half, few, weight, std::nullopt, of_few, /*adds=*/false);
  CHECK_THAT(of_few, AllClose(few.to(at::kDouble).mm(wide.t()), 1e-4));
}

TEST_CASE("weights that a GPU has no product of integers for are widened", "[cuda_kernels]") {
  Random random(16);
  const auto half = emulated_half();
  const auto check = [&](int64_t out_features, int64_t in_features, const PackedFormat& format) {
    auto weight = random_quantized(random, out_features, in_features, format);
    weight.activations = Activations::kInt8;
    CHECK_FALSE(has_integer_gpu_product(weight));
    check_product(random, half, weight, 18, DType::kFloat32, 0, kGpuSliceBytes);
  };
  check(8, 20, {});
  check(12, 16, {});
  check(16, 64, {8, 32, DType::kFloat16, false});
  check(16, 64, {4, 32, DType::kFloat16, true});
}

TEST_CASE("rows are rounded for a GPU one by one, those of zeros and of no numbers too",
          "[cuda_kernels]") {
  Random random(17);
  for (auto dtype : kDTypes) {
    for (int64_t size : {1, 8, 31, 256, 1000}) {
      CAPTURE(to_string(dtype), size);
      auto x = random_tensor(random, {6, size}, to_scalar_type(dtype)).mul(10);
      x[1].zero_();
      x[3][size / 2] = NAN;
      x[4][size - 1] = -std::numeric_limits<float>::infinity();
      const auto values = guarded(at::full({6, size}, 77, at::kChar));
      const auto scales = guarded(at::empty({6}));
      cuda::round_rows(
          {dtype, x.data_ptr(), values.data_ptr<int8_t>(), scales.data_ptr<float>(), 6, size},
          nullptr);
      CHECK(values[1].count_nonzero().item<int64_t>() == 0);
      CHECK(std::isfinite(scales[1].item<float>()));
      CHECK(scales[1].item<float>() > 0);
      CHECK(std::isnan(scales[3].item<float>()));
      CHECK(std::isnan(scales[4].item<float>()));
      for (int64_t row : {0, 2, 5}) {
        const auto wide = x[row].to(at::kDouble);
        const double scale = wide.abs().max().item<double>() / 127;
        CHECK(scales[row].item<double>() == Approx(scale).epsilon(1e-6));
        CHECK_THAT(values[row].to(at::kDouble).mul(scale), AllClose(wide, 0.501 * scale));
        CHECK(values[row].abs().max().item<int64_t>() == 127);
      }
    }
  }
}

}  // namespace
}  // namespace prepack
