#include "model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "kernels/many_rows.h"
#include "model/native_products.h"
#include "model/packed_product.h"
#include "model/wide_product.h"

namespace prepack {
namespace {

/// Rows up to which the kernel of few rows, in float32, beats products of bfloat16 as it is, as
/// prepack_linear_bench finds it on Zen 5. Where there is a matrix unit that was not measured: so
/// few that memory alone limits them.
int64_t max_few_rows() { return has_amx() ? 4 : 16; }

/// By which product a plain weight is multiplied with an input.
enum class Product { kWide, kPacked, kLibTorch };

Product product_for(const at::Tensor& input, const Weight& weight) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (!input.is_cpu()) return Product::kLibTorch;
  const auto dtype = input.scalar_type();
  const bool is_native = tensor != nullptr && dtype != at::kFloat &&
                         dtype == tensor->scalar_type() && has_native_products(dtype);
  if (!is_native || input.size(0) <= max_few_rows()) return Product::kWide;
  const bool is_packed = dtype == at::kBFloat16 && has_bfloat16_dot_products() && !has_amx();
  return is_packed && tensor->is_contiguous() ? Product::kPacked : Product::kLibTorch;
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
    return;
  }
  const auto product = product_for(input, weight);
  if (product == Product::kPacked && out.stride(1) == 1) {
    packed_product(input, weight_rows(weight), bias, out, /*adds=*/false);
  } else if (product != Product::kWide) {
    at::linear_out(out, input, std::get<at::Tensor>(weight), bias);
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
    return;
  }
  const auto product = product_for(input, weight);
  if (product == Product::kPacked && sum.stride(1) == 1) {
    packed_product(input, weight_rows(weight), bias, sum, /*adds=*/true);
  } else if (product != Product::kWide) {
    sum.addmm_(input, std::get<at::Tensor>(weight).t());
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
