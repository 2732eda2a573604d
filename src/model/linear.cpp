#include "model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include "cuda/cuda_half.h"
#include "model/bfloat16_product.h"
#include "model/native_products.h"
#include "model/quantized_gpu_product.h"
#include "model/wide_product.h"

namespace prepack {
namespace {

/// Rows up to which the kernel of few rows, in float32, beats LibTorch's products of 16 bits: so
/// few that memory alone limits them. No more was measured.
constexpr int64_t kMaxWideRows = 4;

/// By which product a weight that is in no layout of oneDNN's is multiplied with an input:
/// wide_product, also of rounded inputs; bfloat16_product; quantized_gpu_product; or LibTorch's
/// own.
enum class Product { kWide, kBFloat16, kQuantizedGpu, kLibTorch };

/// @param is_out_alike  whether what is written or added to has the dtype of the input, and its
///                      columns next to each other
Product product_for(const at::Tensor& input, const Weight& weight, bool is_out_alike) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (!input.is_cpu()) return tensor == nullptr ? Product::kQuantizedGpu : Product::kLibTorch;
  const auto dtype = input.scalar_type();
  const bool is_native = dtype != at::kFloat && has_native_products(dtype) &&
                         (tensor == nullptr || dtype == tensor->scalar_type());
  if (!is_native) return Product::kWide;
  const bool is_bfloat16 = dtype == at::kBFloat16 && is_out_alike && input.size(0) > 0 &&
                           (tensor == nullptr || tensor->is_contiguous());
  if (is_bfloat16 && is_bfloat16_product_best(weight, input.size(0))) return Product::kBFloat16;
  const bool is_wide = tensor == nullptr || input.size(0) <= kMaxWideRows;
  return is_wide ? Product::kWide : Product::kLibTorch;
}

bool are_alike(const at::Tensor& input, const at::Tensor& out) {
  return out.scalar_type() == input.scalar_type() && out.stride(1) == 1 && out.numel() > 0;
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
  switch (product_for(input, weight, are_alike(input, out))) {
    case Product::kWide:
      return wide_product(input, weight, bias, out);
    case Product::kBFloat16:
      return bfloat16_product(input, weight, bias, out, Finish::kWrite);
    case Product::kQuantizedGpu:
      return quantized_gpu_product(cuda_half(), input, std::get<QuantizedWeight>(weight), bias, out,
                                   /*adds=*/false);
    case Product::kLibTorch:
      at::linear_out(out, input, std::get<at::Tensor>(weight), bias);
  }
}

bool Linear::can_gate(const at::Tensor& input) const {
  if (std::holds_alternative<BlockedWeight>(weight)) return false;
  const int64_t num_rows = input.size(0);
  switch (product_for(input, weight, /*is_out_alike=*/true)) {
    case Product::kBFloat16:
      return can_gate_bfloat16_product(weight, num_rows);
    case Product::kWide:
      return can_gate_wide_product(weight, input.scalar_type(), num_rows);
    case Product::kQuantizedGpu:
    case Product::kLibTorch:
      break;
  }
  return false;
}

void Linear::write_gated_to(const at::Tensor& unordered, at::Tensor& out) const {
  TORCH_CHECK(can_gate(unordered), "a product of ", unordered.size(0), " rows that cannot gate");
  const auto input = ordered(unordered, input_order);
  if (product_for(input, weight, are_alike(input, out)) == Product::kBFloat16) {
    bfloat16_product(input, weight, bias, out, Finish::kGate);
  } else {
    gated_wide_product(input, weight, bias, out);
  }
}

void Linear::add_to(const at::Tensor& unordered, at::Tensor& sum) const {
  const auto input = ordered(unordered, input_order);
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) {
    blocked->add_product(input, bias, sum);
    return;
  }
  switch (product_for(input, weight, are_alike(input, sum))) {
    case Product::kWide:
      return add_wide_product(input, weight, bias, sum);
    case Product::kBFloat16:
      return bfloat16_product(input, weight, bias, sum, Finish::kAdd);
    case Product::kQuantizedGpu:
      return quantized_gpu_product(cuda_half(), input, std::get<QuantizedWeight>(weight), bias, sum,
                                   /*adds=*/true);
    case Product::kLibTorch:
      sum.addmm_(input, std::get<at::Tensor>(weight).t());
      if (bias) sum.add_(*bias);
  }
}

Linear Linear::rows(int64_t first, int64_t count) const {
  Linear part{narrow(weight, first, count), {}, input_order};
  if (bias) part.bias = bias->narrow(0, first, count);
  return part;
}

}  // namespace prepack
