#include "model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "model/native_products.h"
#include "model/wide_product.h"

namespace prepack {
namespace {

/// The weight, if the product is left to LibTorch, in the dtype of its operands; else null.
const at::Tensor* native_weight(const at::Tensor& input, const Weight& weight) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (tensor == nullptr || !input.is_cpu()) return tensor;
  const auto dtype = input.scalar_type();
  const bool is_native =
      dtype != at::kFloat && dtype == tensor->scalar_type() && has_native_products(dtype);
  return is_native ? tensor : nullptr;
}

/// The input's features as the weight's columns are.
at::Tensor ordered(const at::Tensor& input, const std::optional<at::Tensor>& order) {
  return order ? input.index_select(1, *order) : input;
}

}  // namespace

at::Tensor Linear::operator()(const at::Tensor& input) const {
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) {
    return blocked->multiply(ordered(input, input_order), bias);
  }
  auto out = at::empty({input.size(0), out_features(weight)}, input.options());
  write_to(input, out);
  return out;
}

void Linear::write_to(const at::Tensor& unordered, at::Tensor& out) const {
  const auto input = ordered(unordered, input_order);
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) {
    out.copy_(blocked->multiply(input, bias));
  } else if (const auto* native = native_weight(input, weight)) {
    at::linear_out(out, input, *native, bias);
  } else if (out.scalar_type() == at::kFloat) {
    wide_product(input.to(at::kFloat), weight, bias, out);
  } else {
    auto wide = at::empty(out.sizes(), out.options().dtype(at::kFloat));
    wide_product(input.to(at::kFloat), weight, bias, wide);
    out.copy_(wide);
  }
}

void Linear::add_to(const at::Tensor& unordered, at::Tensor& sum) const {
  const auto input = ordered(unordered, input_order);
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) {
    blocked->add_product(input, bias, sum);
  } else if (const auto* native = native_weight(input, weight)) {
    sum.addmm_(input, native->t());
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
  Linear part{narrow(weight, first, count), {}, input_order};
  if (bias) part.bias = bias->narrow(0, first, count);
  return part;
}

}  // namespace prepack
