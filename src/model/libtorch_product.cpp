#include "model/libtorch_product.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <variant>

#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/linear.h"

namespace prepack {
namespace {

/// Weights are widened and multiplied by blocks of at least so many bytes and features, which are
/// still in a cache when the product reads them. LibTorch prepares x anew for each block.
constexpr int64_t kBlockBytes = int64_t{4} << 20;
constexpr int64_t kBlockFeatures = 512;

/// @param weight  in the dtype of x
void multiply(const at::Tensor& x, const at::Tensor& weight, const Bias& bias, at::Tensor& out,
              bool adds) {
  if (adds && bias) out.add_(*bias);
  if (adds) {
    at::addmm_out(out, out, x, weight.t());
  } else if (bias) {
    at::addmm_out(out, bias->to(x.scalar_type()), x, weight.t());
  } else {
    at::mm_out(out, x, weight.t());
  }
}

/// Memory for a block, kept by each thread that multiplies: fresh memory for every product costs
/// its first touch, 3 % of a product of 512 rows.
at::Tensor block_buffer(int64_t size, at::ScalarType type) {
  static thread_local at::Tensor buffer;
  const bool is_large_enough =
      buffer.defined() && buffer.scalar_type() == type && buffer.numel() >= size;
  if (!is_large_enough) buffer = at::empty({size}, at::TensorOptions(type));
  return buffer;
}

/// Output features [first, first + count) of the weight.
/// @param buffer  at least of their size
at::Tensor widen_to(const at::Tensor& buffer, const WeightRows& weight, int64_t in_features,
                    int64_t first, int64_t count) {
  auto wide = buffer.narrow(0, 0, count * in_features).view({count, in_features});
  const auto dtype = from_scalar_type(wide.scalar_type());
  parallel_rows(count, in_features, [&](int64_t begin, int64_t end) {
    widen_rows(weight, in_features, first + begin, first + end, dtype, row_address(wide, begin));
  });
  return wide;
}

void multiply_by_blocks(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                        at::Tensor& out, bool adds) {
  const int64_t num_features = out.size(1);
  const int64_t in_features = x.size(1);
  const auto row_bytes = std::max<int64_t>(in_features, 1) * x.element_size();
  const int64_t block = std::min(std::max(kBlockBytes / row_bytes, kBlockFeatures), num_features);
  const auto buffer = block_buffer(block * in_features, x.scalar_type());
  for (int64_t first = 0; first < num_features; first += block) {
    const int64_t count = std::min(block, num_features - first);
    auto part = out.narrow(1, first, count);
    multiply(x, widen_to(buffer, weight, in_features, first, count),
             bias ? Bias(bias->narrow(0, first, count)) : Bias(), part, adds);
  }
}

}  // namespace

void libtorch_product(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                      bool adds) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (tensor != nullptr && tensor->scalar_type() == x.scalar_type()) {
    multiply(x, *tensor, bias, out, adds);
  } else {
    multiply_by_blocks(x, weight_rows(weight), bias, out, adds);
  }
}

}  // namespace prepack
