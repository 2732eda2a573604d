#include "weights/quantized_weight.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <atomic>
#include <vector>

#include "base/scalar_type.h"
#include "kernels/linear.h"
#include "kernels/quantize.h"

namespace prepack {
namespace {

/// Weights below which another thread is not worth its start.
constexpr int64_t kMinQuantized = int64_t{1} << 14;

}  // namespace

QuantizedWeight QuantizedWeight::make_empty(int64_t out_features, int64_t in_features,
                                            const Quantization& quantization) {
  QuantizedWeight weight;
  weight.quantization = quantization.for_rows_of(in_features);
  weight.in_features = in_features;
  if (weight.quantization.bits == 8) {
    weight.values = at::empty({out_features, in_features}, at::kChar);
    weight.scales = at::empty({out_features}, at::kFloat);
  } else {
    weight.values = at::empty({out_features, int4_row_bytes(in_features)}, at::kByte);
    weight.scales =
        at::empty({out_features, in_features / weight.quantization.group_size}, at::kHalf);
    weight.minimums = at::empty_like(weight.scales);
  }
  return weight;
}

bool QuantizedWeight::quantize_rows(int64_t first_row, const at::Tensor& weights) {
  const PlainRows from{from_scalar_type(weights.scalar_type()), weights.const_data_ptr()};
  std::atomic<bool> is_finite = true;
  at::parallel_for(0, weights.size(0), std::max<int64_t>(kMinQuantized / in_features, 1),
                   [&](int64_t begin, int64_t end) {
                     std::vector<float> wide(static_cast<size_t>(in_features));
                     for (int64_t i = begin; i < end; ++i) {
                       widen_rows(from, in_features, i, i + 1, wide.data());
                       const int64_t row = first_row + i;
                       const bool is_row_finite =
                           quantization.bits == 8
                               ? quantize_int8(wide.data(), in_features,
                                               values.data_ptr<int8_t>() + row * in_features,
                                               scales.data_ptr<float>() + row)
                               : quantize_int4(
                                     wide.data(), in_features, quantization.group_size,
                                     values.data_ptr<uint8_t>() + row * values.size(1),
                                     scales.data_ptr<at::Half>() + row * scales.size(1),
                                     minimums.data_ptr<at::Half>() + row * scales.size(1));
                       if (!is_row_finite) is_finite = false;
                     }
                   });
  return is_finite;
}

QuantizedWeight QuantizedWeight::narrow(int64_t first, int64_t count) const {
  auto part = *this;
  part.values = values.narrow(0, first, count);
  part.scales = scales.narrow(0, first, count);
  if (minimums.defined()) part.minimums = minimums.narrow(0, first, count);
  return part;
}

WeightRows QuantizedWeight::rows() const {
  if (quantization.bits == 8) {
    return Int8Rows{values.const_data_ptr<int8_t>(), scales.const_data_ptr<float>()};
  }
  return Int4Rows{values.const_data_ptr<uint8_t>(), scales.const_data_ptr(),
                  minimums.const_data_ptr(), quantization.group_size};
}

at::Tensor QuantizedWeight::dequantize() const {
  auto wide = at::empty({out_features(), in_features}, at::kFloat);
  widen_rows(rows(), in_features, 0, out_features(), wide.data_ptr<float>());
  return wide;
}

int64_t QuantizedWeight::nbytes() const {
  return static_cast<int64_t>(values.nbytes() + scales.nbytes() +
                              (minimums.defined() ? minimums.nbytes() : 0));
}

}  // namespace prepack
