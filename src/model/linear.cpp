#include "model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "model/native_products.h"
#include "model/wide_product.h"

namespace prepack {
namespace {

/// Whether the product is left to LibTorch, in the dtype of its operands.
bool is_native(const at::Tensor& input, const at::Tensor& weight) {
  if (!input.is_cpu()) return true;
  const auto dtype = input.scalar_type();
  return dtype != at::kFloat && dtype == weight.scalar_type() && has_native_products(dtype);
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& input) const {
  if (is_native(input, weight)) return at::linear(input, weight, bias);
  auto out = at::empty({input.size(0), weight.size(0)}, input.options().dtype(at::kFloat));
  wide_product(input.to(at::kFloat), weight, bias, out);
  return out.to(input.scalar_type());
}

void Linear::add_to(const at::Tensor& input, at::Tensor& sum) const {
  if (is_native(input, weight)) {
    sum.addmm_(input, weight.t());
    if (bias) sum.add_(*bias);
  } else if (sum.scalar_type() == at::kFloat) {
    add_wide_product(input.to(at::kFloat), weight, bias, sum);
  } else {
    // Added in float32, to be rounded once.
    auto wide_sum = sum.to(at::kFloat);
    add_wide_product(input.to(at::kFloat), weight, bias, wide_sum);
    sum.copy_(wide_sum);
  }
}

Linear Linear::rows(int64_t first, int64_t count) const {
  Linear part{weight.narrow(0, first, count), {}};
  if (bias) part.bias = bias->narrow(0, first, count);
  return part;
}

}  // namespace prepack
