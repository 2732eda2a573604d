#include "model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/scalar_type.h"
#include "kernels/byte_tiles.h"
#include "kernels/many_rows.h"
#include "kernels/rounded_product.h"
#include "model/libtorch_product.h"
#include "model/rounded_tiles_product.h"
#include "model/swiglu.h"
#include "prepack/quantization.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/instruction_sets.h"
#include "support/random.h"
#include "support/rounded_in_groups.h"
#include "support/tensors.h"
#include "support/thread_count.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::instruction_sets;
using testing::OnlyInstructionSet;
using testing::Random;
using testing::random_tensor;
using testing::rounded_in_groups;
using testing::ThreadCount;
using testing::tolerance;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};

constexpr auto kAsComputed = Activations::kAsComputed;
constexpr auto kInt16 = Activations::kInt16;
constexpr auto kInt8 = Activations::kInt8;

/// How a weight is stored, and what products multiply it with.
struct Format {
  std::variant<DType, Quantization, PackedFormat> stored;
  Activations activations = kAsComputed;

  template <typename Stored>
  Format(Stored stored, Activations activations = kAsComputed)
      : stored(stored), activations(activations) {}

  bool rounds_input() const { return activations != kAsComputed; }
};

std::string name_of(const Format& format) {
  if (format.rounds_input()) {
    return fmt::format("{} x {}", name_of(Format(format.stored)), to_string(format.activations));
  }
  if (const auto* dtype = std::get_if<DType>(&format.stored)) return std::string(to_string(*dtype));
  if (const auto* packed = std::get_if<PackedFormat>(&format.stored)) {
    return fmt::format("{} bits in groups of {}, {} scales{}", packed->bits, packed->group_size,
                       to_string(packed->scale_dtype), packed->has_minimums ? " and minimums" : "");
  }
  return to_string(std::get<Quantization>(format.stored));
}

const std::vector<Format> kFormats = {DType::kFloat32,
                                      DType::kBFloat16,
                                      DType::kFloat16,
                                      Quantization{.bits = 8},
                                      Quantization{.bits = 4, .group_size = 32},
                                      Quantization{.bits = 4, .group_size = 64},
                                      Quantization{.bits = 4, .group_size = 128},
                                      PackedFormat{4, 32, DType::kFloat32, true},
                                      PackedFormat{4, 96, DType::kFloat32, true},
                                      PackedFormat{4, 128, DType::kFloat32, true},
                                      PackedFormat{8, 16, DType::kFloat32, false},
                                      PackedFormat{8, 16, DType::kFloat32, true},
                                      PackedFormat{8, 32, DType::kFloat16, false},
                                      PackedFormat{8, 32, DType::kFloat16, true},
                                      PackedFormat{8, 128, DType::kFloat32, true},
                                      {Quantization{.bits = 8}, kInt16},
                                      {Quantization{.bits = 8}, kInt8},
                                      {Quantization{.bits = 4, .group_size = 32}, kInt16},
                                      {Quantization{.bits = 4, .group_size = 32}, kInt8},
                                      {Quantization{.bits = 4, .group_size = 64}, kInt16},
                                      {Quantization{.bits = 4, .group_size = 128}, kInt8},
                                      {PackedFormat{4, 96, DType::kFloat32, true}, kInt16},
                                      {PackedFormat{4, 96, DType::kFloat32, true}, kInt8},
                                      {PackedFormat{8, 16, DType::kFloat32, true}, kInt16},
                                      {PackedFormat{8, 32, DType::kFloat16, false}, kInt16},
                                      {PackedFormat{8, 128, DType::kFloat32, true}, kInt16},
                                      {PackedFormat{8, 32, DType::kFloat16, false}, kInt8},
                                      {PackedFormat{8, 128, DType::kFloat32, true}, kInt8}};

/// At least this many, and whole groups where there are any.
int64_t whole_groups(const Format& format, int64_t in_features) {
  int64_t size = 1;
  if (const auto* packed = std::get_if<PackedFormat>(&format.stored)) size = packed->group_size;
  const auto* quantization = std::get_if<Quantization>(&format.stored);
  if (quantization != nullptr && quantization->bits == 4) size = quantization->group_size;
  return (in_features + size - 1) / size * size;
}

/// More rows than the kernel of few rows is given.
constexpr int64_t kManyRows = 300;

/// Of about the size `scale`.
QuantizedWeight random_packed(Random& random, int64_t out_features, int64_t in_features,
                              const PackedFormat& format, double scale) {
  const double largest = format.bits == 8 ? 128 : 7.5;
  const auto uniform = [&](at::IntArrayRef sizes) { return random_tensor(random, sizes).erf(); };
  const auto values = uniform({out_features, in_features}).add(1).mul(largest).floor();
  const int64_t num_groups = format.num_groups(in_features);
  const auto scales = random_tensor(random, {out_features, num_groups}).mul(scale / largest);
  const auto minimums = format.bits == 8
                            ? random_tensor(random, {out_features, num_groups}).mul(scale)
                            : scales.mul(-largest);
  auto weight = QuantizedWeight::make_empty(out_features, in_features, format);
  weight.set_rows(0, format.bits == 8 ? values.sub(128).to(at::kChar) : values.to(at::kByte),
                  scales, format.has_minimums ? minimums : at::Tensor());
  return weight;
}

/// Of a size that gives outputs of size 1 for inputs of size 1.
Linear random_linear(Random& random, int64_t out_features, int64_t in_features,
                     const Format& format, bool has_bias = false) {
  const double scale = 1 / std::sqrt(static_cast<double>(in_features));
  const auto numbers = random_tensor(random, {out_features, in_features}).mul(scale);
  const auto* dtype = std::get_if<DType>(&format.stored);
  const auto type = dtype != nullptr ? to_scalar_type(*dtype) : at::kFloat;
  Linear linear;
  if (dtype != nullptr) {
    linear.weight = numbers.to(type);
  } else if (const auto* packed = std::get_if<PackedFormat>(&format.stored)) {
    linear.weight = random_packed(random, out_features, in_features, *packed, scale);
  } else {
    auto weight = QuantizedWeight::make_empty(out_features, in_features,
                                              std::get<Quantization>(format.stored));
    REQUIRE(weight.quantize_rows(0, numbers));
    linear.weight = weight;
  }
  if (format.rounds_input()) {
    std::get<QuantizedWeight>(linear.weight).activations = format.activations;
  }
  if (has_bias) linear.bias = random_tensor(random, {out_features}, type);
  return linear;
}

/// The weight that products multiply with.
at::Tensor wide_weight(const Linear& linear) {
  const auto* quantized = std::get_if<QuantizedWeight>(&linear.weight);
  return quantized != nullptr ? quantized->dequantize()
                              : std::get<at::Tensor>(linear.weight).to(at::kFloat);
}

/// The input that products multiply with.
at::Tensor as_read(const Linear& linear, const at::Tensor& input) {
  switch (activations_of(linear.weight)) {
    case kInt16:
      return rounded_in_groups<int16_t>(input, RoundedRows<int16_t>::kGroup);
    case kInt8:
      return rounded_in_groups<int8_t>(input, has_rounded_tiles_product(weight_rows(linear.weight))
                                                  ? ByteTiles::kGroup
                                                  : RoundedRows<int8_t>::kGroup);
    case kAsComputed:
      break;
  }
  return input;
}

at::Tensor product_in_float64(const Linear& linear, const at::Tensor& input) {
  const auto product =
      as_read(linear, input).to(at::kDouble).matmul(wide_weight(linear).to(at::kDouble).t());
  return linear.bias ? product.add(linear.bias->to(at::kDouble)) : product;
}

/// Rounding grows with the length of a sum. Values above a minimum are summed before what lies in
/// their middle is taken away again: that rounds sums which are some times larger than the result.
/// And scales of rounded inputs are rounded once more with the weights'. LibTorch's sgemm on Arm
/// adds one number after the other, where others add several sums.
double tolerance_of(const Linear& linear, DType dtype) {
  const auto* quantized = std::get_if<QuantizedWeight>(&linear.weight);
  const auto in_features =
      quantized != nullptr ? quantized->in_features : std::get<at::Tensor>(linear.weight).size(1);
  const bool has_minimums = quantized != nullptr && quantized->minimums.defined();
  const double length = std::max(1.0, std::sqrt(static_cast<double>(in_features) / 1024));
#if defined(__aarch64__)
  constexpr double kAddedInTurn = 2;
#else
  constexpr double kAddedInTurn = 1;
#endif
  return tolerance(dtype).op * length * kAddedInTurn * (has_minimums ? 4 : 1) *
         (activations_of(linear.weight) != kAsComputed ? 2 : 1);
}

/// Both ways to multiply are near the definition.
void check_products(Random& random, const Linear& linear, const at::Tensor& input) {
  const auto dtype = from_scalar_type(input.scalar_type());
  const auto expected = product_in_float64(linear, input);
  const double near = tolerance_of(linear, dtype);
  const auto output = linear(input);
  CHECK(output.scalar_type() == input.scalar_type());
  CHECK_THAT(output, AllClose(expected, near, near));
  auto sum = random_tensor(random, expected.sizes(), input.scalar_type());
  const auto expected_sum = sum.to(at::kDouble).add(expected);
  linear.add_to(input, sum);
  CHECK_THAT(sum, AllClose(expected_sum, near, near));
}

TEST_CASE("a product of any shape and dtypes equals its definition in float64", "[linear]") {
  Random random(1);
  for (const auto& format : kFormats) {
    for (const auto input_dtype : kDTypes) {
      for (int i = 0; i < 300; ++i) {
        const int64_t num_rows = i % 16 == 0   ? random.integer(90, kManyRows)
                                 : i % 16 == 1 ? random.integer(18, 50)
                                               : random.integer(1, 17);
        const int64_t in_features = whole_groups(format, random.integer(1, i % 3 == 0 ? 400 : 40));
        const int64_t out_features = random.integer(1, 70);
        INFO(name_of(format) << " * " << to_string(input_dtype));
        CAPTURE(num_rows, in_features, out_features);
        const auto linear = random_linear(random, out_features, in_features, format, i % 2 == 0);
        check_products(random, linear,
                       random_tensor(random, {num_rows, in_features}, to_scalar_type(input_dtype)));
      }
    }
  }
}

TEST_CASE("a product of more than one block equals its definition in float64", "[linear]") {
  Random random(2);
  for (const auto& format : kFormats) {
    INFO(name_of(format));
    // Blocks along in_features for few rows; for many too, or, by LibTorch, along out_features.
    const int64_t in_features = whole_groups(format, 4999);
    const auto linear = random_linear(random, 401, in_features, format, true);
    for (int64_t num_rows : {1, 2, 3, 4, 11, 64, 300}) {
      CAPTURE(num_rows);
      check_products(random, linear, random_tensor(random, {num_rows, in_features}));
    }
  }
  // Groups of 128 that a block of half the row would cut.
  for (const auto& format : kFormats) {
    if (whole_groups(format, 896) != 896) continue;
    INFO(name_of(format));
    const auto linear = random_linear(random, 33, 896, format);
    for (int64_t num_rows : {4, 9, 47}) {
      CAPTURE(num_rows);
      check_products(random, linear, random_tensor(random, {num_rows, 896}));
    }
  }
}

TEST_CASE("rows may be of many blocks, and groups longer than these", "[linear]") {
  Random random(15);
  for (const int bits : {4, 8}) {
    for (const int64_t group_size : {32, 64, 128, 4096}) {
      for (const auto activations : {kAsComputed, kInt16, kInt8}) {
        const Format format(PackedFormat{bits, group_size, DType::kFloat32, true}, activations);
        for (const int64_t in_features : {4096, 8192}) {
          const auto linear = random_linear(random, 39, in_features, format, true);
          for (const int64_t num_rows : {1, 3, 7, 60}) {
            CAPTURE(name_of(format), in_features, num_rows);
            check_products(random, linear, random_tensor(random, {num_rows, in_features}));
          }
        }
      }
    }
  }
}

TEST_CASE("a product of many rows equals its definition in float64 with each instruction set",
          "[linear]") {
  Random random(12);
  for (const auto& format : kFormats) {
    INFO(name_of(format));
    // Wide enough for weights that LibTorch's products want widened block by block.
    const int64_t in_features = whole_groups(format, 2100);
    const auto linear = random_linear(random, 1100, in_features, format, true);
    const auto input = random_tensor(random, {kManyRows, in_features});
    for (const auto target : instruction_sets()) {
      CAPTURE(hwy::TargetName(target));
      const OnlyInstructionSet only(target);
      check_products(random, linear, input);
    }
  }
}

TEST_CASE("a product of more rows than are packed at once equals its definition in float64",
          "[linear]") {
  Random random(16);
  const auto linear = random_linear(random, 33, 3000, DType::kFloat32);
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    check_products(random, linear, random_tensor(random, {2300, 3000}, type));
  }
}

TEST_CASE("a product of more rows than are rounded at once equals its definition in float64",
          "[linear]") {
  Random random(18);
  for (const auto activations : {kInt16, kInt8}) {
    const Format format(PackedFormat{4, 32, DType::kFloat32, true}, activations);
    const auto linear = random_linear(random, 20, 20000, format, true);
    check_products(random, linear, random_tensor(random, {1000, 20000}));
  }
}

TEST_CASE("a product in bfloat16 of any rows and strides equals its definition in float64",
          "[linear]") {
  Random random(17);
  const auto type = at::kBFloat16;
  const double near = tolerance(DType::kBFloat16).op;
  for (const int64_t in_features : {514, 515, 2100}) {
    const auto whole = random_linear(random, 90, in_features, DType::kBFloat16, true);
    for (const auto& linear : {whole, whole.rows(11, 78)}) {
      const int64_t out_features = linear.bias->size(0);
      for (const int64_t num_rows : {1, 7, 12, 13, 30, 64, 65, 300}) {
        CAPTURE(in_features, out_features, num_rows);
        const auto wider = random_tensor(random, {num_rows, in_features + 9}, type);
        const auto input = wider.narrow(1, 5, in_features);
        check_products(random, linear, input.contiguous());
        const auto expected = product_in_float64(linear, input);
        for (auto out : {at::empty({num_rows, out_features + 3}, type).narrow(1, 2, out_features),
                         at::empty({out_features, num_rows}, type).t()}) {
          linear.write_to(input, out);
          CHECK_THAT(out, AllClose(expected, near, near));
        }
        auto sum = random_tensor(random, {out_features, num_rows}, type).t();
        const auto expected_sum = sum.to(at::kDouble).add(expected);
        linear.add_to(input, sum);
        CHECK_THAT(sum, AllClose(expected_sum, near, near));
      }
    }
  }
}

/// Where it can be had at once, SwiGLU of a product is what swiglu() makes of it, bit for bit.
/// @return whether it can
bool check_gated(const Linear& linear, const at::Tensor& input) {
  const int64_t size = out_features(linear.weight) / 2;
  auto gated = at::full({input.size(0), size}, NAN, input.options());
  if (!linear.can_gate(input)) {
    CHECK_THROWS_AS(linear.write_gated_to(input, gated), c10::Error);
    return false;
  }
  linear.write_gated_to(input, gated);
  auto expected = at::empty(gated.sizes(), input.options());
  swiglu(linear(input), expected);
  CHECK_THAT(gated, BitEqual(expected));
  return true;
}

TEST_CASE("SwiGLU of a product has the bits of both apart", "[linear]") {
  Random random(19);
  for (const auto& format : kFormats) {
    for (const auto dtype : kDTypes) {
      const int64_t in_features = whole_groups(format, 300);
      const auto linear = random_linear(random, 2 * 77, in_features, format, /*has_bias=*/true);
      for (const int64_t num_rows : {int64_t{1}, int64_t{13}, int64_t{70}, 2 * kManyRows}) {
        CAPTURE(name_of(format), to_string(dtype), num_rows);
        const auto input = random_tensor(random, {num_rows, in_features}, to_scalar_type(dtype));
        const bool is_gated = check_gated(linear, input);
        if (num_rows == 1) CHECK_FALSE(is_gated);
        if (num_rows == 2 * kManyRows && format.rounds_input()) CHECK(is_gated);
        if (num_rows == 2 * kManyRows && dtype == DType::kFloat32) {
          CHECK(is_gated == (has_fast_many_rows() || format.rounds_input()));
        }
      }
    }
  }
}

TEST_CASE("SwiGLU of more rows than are packed or rounded at once has the bits of both apart",
          "[linear]") {
  Random random(20);
  for (const Format& format : {Format(DType::kBFloat16), Format(Quantization{.bits = 8}, kInt8)}) {
    const auto linear = random_linear(random, 2 * 35, 20000, format);
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      check_gated(linear, random_tensor(random, {1000, 20000}, type));
    }
  }
}

TEST_CASE("a product by LibTorch, of weights that it widens, equals its definition in float64",
          "[linear]") {
  Random random(19);
  for (const auto& format : kFormats) {
    if (format.rounds_input()) continue;
    // More than one block.
    const int64_t in_features = whole_groups(format, 2100);
    const auto linear = random_linear(random, 1100, in_features, format, true);
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      INFO(name_of(format) << " * " << to_string(dtype));
      const auto type = to_scalar_type(dtype);
      const auto input = random_tensor(random, {40, in_features}, type);
      const auto expected = product_in_float64(linear, input);
      const double near = tolerance_of(linear, dtype);
      auto out = at::full({40, 1100}, NAN, type);
      libtorch_product(input, linear.weight, linear.bias, out, /*adds=*/false);
      CHECK_THAT(out, AllClose(expected, near, near));
      auto sum = random_tensor(random, {40, 1100}, type);
      const auto expected_sum = sum.to(at::kDouble).add(expected);
      libtorch_product(input, linear.weight, linear.bias, sum, /*adds=*/true);
      CHECK_THAT(sum, AllClose(expected_sum, 2 * near, near));
    }
  }
}

TEST_CASE("a sum of one column is added to, whatever its stride", "[linear]") {
  Random random(13);
  for (int64_t num_rows : {int64_t{3}, kManyRows}) {
    CAPTURE(num_rows);
    const auto linear = random_linear(random, 1, 7, DType::kFloat32);
    const auto x = random_tensor(random, {num_rows, 7});
    auto column = at::zeros({10, num_rows}).t().narrow(1, 9, 1);
    linear.add_to(x, column);
    CHECK_THAT(column, AllClose(linear(x), 1e-6));
  }
}

TEST_CASE("a product of no tokens is empty", "[linear]") {
  Random random(3);
  const auto linear = random_linear(random, 5, 7, DType::kBFloat16);
  CHECK(linear(at::empty({0, 7})).sizes() == at::IntArrayRef{0, 5});
}

TEST_CASE("inputs and sums may be slices of wider tensors", "[linear]") {
  Random random(4);
  for (const auto& format : kFormats) {
    for (int64_t num_rows : {int64_t{1}, int64_t{5}, kManyRows}) {
      INFO(name_of(format));
      CAPTURE(num_rows);
      const int64_t in_features = whole_groups(format, 37);
      const auto linear = random_linear(random, 23, in_features, format, true);
      const auto input =
          random_tensor(random, {num_rows, in_features + 13}).narrow(1, 6, in_features);
      const auto expected = product_in_float64(linear, input);
      const double near = tolerance_of(linear, DType::kFloat32);
      CHECK_THAT(linear(input), AllClose(expected, near));
      const auto whole = random_tensor(random, {num_rows, 40});
      for (auto sum : {whole.clone().narrow(1, 9, 23), whole.t().clone().t().narrow(1, 9, 23)}) {
        linear.add_to(input, sum);
        CHECK_THAT(sum, AllClose(whole.narrow(1, 9, 23).add(expected), near, near));
      }
      auto sliced = whole.clone();
      auto part = sliced.narrow(1, 9, 23);
      linear.add_to(input, part);
      CHECK_THAT(sliced.narrow(1, 0, 9), BitEqual(whole.narrow(1, 0, 9)));
      CHECK_THAT(sliced.narrow(1, 32, 8), BitEqual(whole.narrow(1, 32, 8)));
    }
  }
}

TEST_CASE("a narrow weight gives what it gives converted to float32", "[linear]") {
  Random random(5);
  for (const auto& format : kFormats) {
    for (int64_t num_rows : {int64_t{1}, int64_t{2}, int64_t{8}, int64_t{100}, kManyRows}) {
      INFO(name_of(format));
      CAPTURE(num_rows);
      const int64_t in_features = whole_groups(format, 515);
      const auto linear = random_linear(random, 130, in_features, format);
      const auto input = random_tensor(random, {num_rows, in_features});
      const Linear converted{wide_weight(linear), {}};
      CHECK_THAT(linear(input), AllClose(converted(as_read(linear, input)),
                                         tolerance_of(linear, DType::kFloat32)));
    }
  }
}

const at::Tensor& values_of(const Linear& linear) {
  const auto* quantized = std::get_if<QuantizedWeight>(&linear.weight);
  return quantized != nullptr ? quantized->values : std::get<at::Tensor>(linear.weight);
}

TEST_CASE("rows of a linear compute their part of its outputs", "[linear]") {
  Random random(6);
  for (const auto& format : kFormats) {
    const int64_t in_features = whole_groups(format, 33);
    const auto linear = random_linear(random, 40, in_features, format, true);
    for (int64_t num_rows : {int64_t{1}, int64_t{6}, kManyRows}) {
      const auto input = random_tensor(random, {num_rows, in_features});
      const auto part = linear.rows(7, 18);
      CHECK(values_of(part).is_alias_of(values_of(linear)));
      CHECK_THAT(part(input),
                 AllClose(linear(input).narrow(1, 7, 18), tolerance_of(linear, DType::kFloat32)));
    }
  }
}

TEST_CASE("few rows give the same bits on any number of threads", "[linear]") {
  Random random(7);
  const auto check = [&](const Linear& linear, const at::Tensor& input) {
    const auto product_of = [&](int num_threads) {
      const ThreadCount threads(num_threads);
      return linear(input);
    };
    const auto alone = product_of(1);
    for (int threads : {2, 3, 7}) CHECK_THAT(product_of(threads), BitEqual(alone));
  };
  for (const auto& format : kFormats) {
    const int64_t in_features = whole_groups(format, 2100);
    const auto linear = random_linear(random, 3001, in_features, format, true);
    for (int64_t num_rows : {1, 5, 64})
      check(linear, random_tensor(random, {num_rows, in_features}));
  }
  const auto linear = random_linear(random, 3001, 2100, DType::kBFloat16, true);
  for (int64_t num_rows : {1, 13}) {
    check(linear, random_tensor(random, {num_rows, 2100}, at::kBFloat16));
  }
}

TEST_CASE("a row gives the same bits amid any few rows that fill its groups", "[linear]") {
  Random random(8);
  for (const auto& format : kFormats) {
    const int64_t in_features = whole_groups(format, 1000);
    const auto linear = random_linear(random, 50, in_features, format);
    // Of float32, fewer rows than a group are summed in another order. Rounded rows are multiplied
    // by another kernel where they are more; of 8 bits with 8 bits, more than 8.
    using Range = std::pair<int64_t, int64_t>;
    const auto ranges = !format.rounds_input()        ? std::vector<Range>{{4, 24}}
                        : format.activations == kInt8 ? std::vector<Range>{{1, 8}, {9, 12}}
                                                      : std::vector<Range>{{1, 12}};
    for (const auto& [least, most] : ranges) {
      const auto input = random_tensor(random, {most, in_features});
      const auto all = linear(input);
      for (int64_t num_rows = least; num_rows < most; ++num_rows) {
        CHECK_THAT(linear(input.narrow(0, 0, num_rows)), BitEqual(all.narrow(0, 0, num_rows)));
      }
    }
  }
}

TEST_CASE("numbers that are not finite make their row of rounded products NaN", "[linear]") {
  Random random(14);
  for (const auto& format : kFormats) {
    if (!format.rounds_input()) continue;
    INFO(name_of(format));
    for (const int64_t least : {70, 1100}) {
      const int64_t in_features = whole_groups(format, least);
      const auto linear = random_linear(random, 9, in_features, format);
      for (const float number : {INFINITY, -INFINITY, NAN}) {
        for (const int64_t num_rows : {2, 7, 30, 60}) {
          auto input = random_tensor(random, {num_rows, in_features});
          const auto expected = linear(input);
          input[1][33] = number;
          const auto output = linear(input);
          CHECK(output[1].isnan().all().item<bool>());
          CHECK_THAT(output[0], BitEqual(expected[0]));
          CHECK_THAT(output.slice(0, 2), BitEqual(expected.slice(0, 2)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace prepack
