#include "model/quantized_gpu_product.h"

#include <ATen/ops/_int_mm.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <bit>

#include "base/scalar_type.h"

namespace prepack {
namespace {

/// Rows up to which weights are unpacked as they are read: twice, where there are more than 8.
/// Chosen by the bytes that are moved, not measured. cuBLAS's product of integers wants more than
/// this.
constexpr int64_t kMaxFewRows = 16;

constexpr int64_t kLeastFeatures = 256;  // of a slice, which are worth a product

/// What cuBLAS's product of integers wants sizes to be multiples of.
constexpr int64_t kIntegerSizes = 8;

int64_t slice_features(int64_t slice_bytes, int64_t bytes_of_feature) {
  return std::max(slice_bytes / bytes_of_feature / kLeastFeatures * kLeastFeatures, kLeastFeatures);
}

/// What the kernels see; valid as long as the weight is.
cuda::QuantizedRows rows_of(const QuantizedWeight& weight) {
  const auto& format = weight.format;
  constexpr int kWholeRow = 62;  // which makes any index 0
  const int shift = format.group_size == 0
                        ? kWholeRow
                        : std::countr_zero(static_cast<uint64_t>(format.group_size));
  TORCH_CHECK(format.group_size == 0 || format.group_size == int64_t{1} << shift);
  return {.bits = format.bits,
          .values = weight.values.const_data_ptr(),
          .row_bytes = weight.values.size(1),
          .scale_dtype = format.scale_dtype,
          .scales = weight.scales.const_data_ptr(),
          .minimums = weight.minimums.defined() ? weight.minimums.const_data_ptr() : nullptr,
          .num_groups = weight.scales.size(1),
          .group_shift = shift,
          .num_rows = weight.out_features(),
          .in_features = weight.in_features};
}

const void* address(const Bias& bias) { return bias ? bias->const_data_ptr() : nullptr; }

/// Calls f(first, count) for slices of the output features.
template <typename F>
void for_each_slice(int64_t out_features, int64_t most, const F& f) {
  for (int64_t first = 0; first < out_features; first += most) {
    f(first, std::min(most, out_features - first));
  }
}

Bias narrow(const Bias& bias, int64_t first, int64_t count) {
  return bias ? Bias(bias->narrow(0, first, count)) : std::nullopt;
}

void multiply_few_rows(const CudaHalf& half, const at::Tensor& x, const QuantizedWeight& weight,
                       const Bias& bias, const at::Tensor& out, bool adds) {
  half.multiply_few_rows({.dtype = from_scalar_type(x.scalar_type()),
                          .x = x.const_data_ptr(),
                          .weight = rows_of(weight),
                          .bias = address(bias),
                          .out = out.data_ptr(),
                          .num_rows = x.size(0),
                          .out_stride = out.stride(0),
                          .adds_to_out = adds},
                         x.device().index());
}

void multiply_widened(const CudaHalf& half, const at::Tensor& x, const QuantizedWeight& weight,
                      const Bias& bias, const at::Tensor& out, bool adds, int64_t slice_bytes) {
  const auto dtype = from_scalar_type(x.scalar_type());
  const int64_t in_features = weight.in_features;
  const int64_t most = slice_features(slice_bytes, in_features * element_size(dtype));
  const auto buffer = at::empty({std::min(most, weight.out_features()), in_features}, x.options());
  for_each_slice(weight.out_features(), most, [&](int64_t first, int64_t count) {
    const auto widened = buffer.narrow(0, 0, count);
    half.widen_rows(rows_of(weight.narrow(first, count)), dtype, widened.data_ptr(),
                    x.device().index());
    auto part = out.narrow(1, first, count);
    const auto part_bias = narrow(bias, first, count);
    if (adds) {
      part.addmm_(x, widened.t());
      if (part_bias) part.add_(*part_bias);
    } else if (part_bias) {
      at::addmm_out(part, *part_bias, x, widened.t());
    } else {
      at::mm_out(part, x, widened.t());
    }
  });
}

void multiply_integers(const CudaHalf& half, const at::Tensor& x, const QuantizedWeight& weight,
                       const Bias& bias, const at::Tensor& out, bool adds, int64_t slice_bytes) {
  const auto dtype = from_scalar_type(x.scalar_type());
  const auto device = x.device().index();
  const int64_t num_rows = x.size(0);
  const auto rounded = at::empty(x.sizes(), x.options().dtype(at::kChar));
  const auto scales = at::empty({num_rows}, x.options().dtype(at::kFloat));
  half.round_rows({.dtype = dtype,
                   .x = x.const_data_ptr(),
                   .values = rounded.data_ptr<int8_t>(),
                   .scales = scales.data_ptr<float>(),
                   .num_rows = num_rows,
                   .size = x.size(1)},
                  device);
  const int64_t most = slice_features(slice_bytes, num_rows * element_size(DType::kFloat32));
  const auto buffer =
      at::empty({num_rows * std::min(most, weight.out_features())}, x.options().dtype(at::kInt));
  for_each_slice(weight.out_features(), most, [&](int64_t first, int64_t count) {
    const auto slice = weight.narrow(first, count);
    auto sums = buffer.narrow(0, 0, num_rows * count).view({num_rows, count});
    at::_int_mm_out(sums, rounded, slice.values.t());
    const auto part = out.narrow(1, first, count);
    const auto part_bias = narrow(bias, first, count);
    half.scale_sums({.dtype = dtype,
                     .sums = sums.const_data_ptr<int32_t>(),
                     .row_scales = scales.const_data_ptr<float>(),
                     .weight_scales = slice.scales.const_data_ptr<float>(),
                     .bias = address(part_bias),
                     .out = part.data_ptr(),
                     .num_rows = num_rows,
                     .num_features = count,
                     .out_stride = part.stride(0),
                     .adds_to_out = adds},
                    device);
  });
}

}  // namespace

bool has_integer_gpu_product(const QuantizedWeight& weight) {
  return weight.format == PackedFormat{} && weight.in_features % kIntegerSizes == 0 &&
         weight.out_features() % kIntegerSizes == 0;
}

void quantized_gpu_product(const CudaHalf& half, const at::Tensor& x, const QuantizedWeight& weight,
                           const Bias& bias, const at::Tensor& out, bool adds,
                           int64_t slice_bytes) {
  TORCH_CHECK(x.size(1) == weight.in_features && x.device() == weight.values.device());
  TORCH_CHECK(out.size(0) == x.size(0) && out.size(1) == weight.out_features());
  TORCH_CHECK(out.stride(1) == 1 && out.scalar_type() == x.scalar_type());
  TORCH_CHECK(!bias || (bias->is_contiguous() && bias->scalar_type() == x.scalar_type()));
  if (out.numel() == 0) return;
  const bool is_rounded =
      weight.activations == Activations::kInt8 && has_integer_gpu_product(weight);
  const auto rows = x.contiguous();
  if (rows.size(0) <= kMaxFewRows) return multiply_few_rows(half, rows, weight, bias, out, adds);
  const auto multiply = is_rounded ? multiply_integers : multiply_widened;
  multiply(half, rows, weight, bias, out, adds, slice_bytes);
}

at::Tensor gather_on_gpu(const CudaHalf& half, const QuantizedWeight& weight, const at::Tensor& ids,
                         at::ScalarType dtype) {
  auto rows = weight;
  rows.values = weight.values.index_select(0, ids);
  rows.scales = weight.scales.index_select(0, ids);
  if (weight.minimums.defined()) rows.minimums = weight.minimums.index_select(0, ids);
  const auto options = at::TensorOptions(dtype).device(ids.device());
  auto widened = at::empty({ids.size(0), weight.in_features}, options);
  half.widen_rows(rows_of(rows), from_scalar_type(dtype), widened.data_ptr(), ids.device().index());
  return widened;
}

int64_t quantized_gpu_product_bytes(int64_t num_rows, int64_t in_features, int64_t out_features,
                                    DType dtype, bool is_rounded) {
  const auto of_slice = [&](int64_t bytes_of_feature) {
    return bytes_of_feature *
           std::min(slice_features(kGpuSliceBytes, bytes_of_feature), out_features);
  };
  const int64_t widened = of_slice(in_features * element_size(dtype));
  if (!is_rounded) return widened;
  const int64_t row_bytes = in_features + element_size(DType::kFloat32);  // values and scale
  const int64_t integers =
      num_rows * row_bytes + of_slice(num_rows * element_size(DType::kFloat32));
  return std::max(widened, integers);  // of weights of either kind
}

}  // namespace prepack
