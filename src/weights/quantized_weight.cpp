#include "weights/quantized_weight.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/mapped_tensor.h"
#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/linear.h"
#include "kernels/quantize.h"

namespace prepack {
namespace {

/// Weights below which another thread is not worth its start.
constexpr int64_t kMinQuantized = int64_t{1} << 14;

/// Values of so many bytes get large pages: decode steps pass over all weights, and spend a fifth
/// of the time of 8 bits on finding small pages.
constexpr int64_t kLargeBytes = int64_t{4} << 20;

}  // namespace

QuantizedWeight QuantizedWeight::make_empty(int64_t out_features, int64_t in_features,
                                            const PackedFormat& format) {
  QuantizedWeight weight;
  weight.format = format.for_kernels();
  weight.in_features = in_features;
  TORCH_CHECK(format.group_size == 0 || in_features % weight.format.group_size == 0);
  TORCH_CHECK(format.bits == 8 ? format.group_size > 0 || !format.has_minimums
                               : format.group_size > 0 && format.has_minimums);
  weight.values = empty_in_large_pages({out_features, format.row_bytes(in_features)},
                                       format.bits == 8 ? at::kChar : at::kByte, kLargeBytes);
  weight.scales = at::empty({out_features, weight.format.num_groups(in_features)},
                            to_scalar_type(format.scale_dtype));
  if (format.has_minimums) weight.minimums = at::empty_like(weight.scales);
  return weight;
}

bool QuantizedWeight::quantize_rows(int64_t first_row, const at::Tensor& weights) {
  const PlainRows from{from_scalar_type(weights.scalar_type()), weights.const_data_ptr()};
  std::atomic<bool> is_finite = true;
  at::parallel_for(0, weights.size(0), std::max<int64_t>(kMinQuantized / in_features, 1),
                   [&](int64_t begin, int64_t end) {
                     std::vector<float> wide(static_cast<size_t>(in_features));
                     for (int64_t i = begin; i < end; ++i) {
                       widen_rows(from, in_features, i, i + 1, DType::kFloat32, wide.data());
                       const int64_t row = first_row + i;
                       const bool is_row_finite =
                           format.bits == 8
                               ? quantize_int8(wide.data(), in_features,
                                               values.data_ptr<int8_t>() + row * in_features,
                                               scales.data_ptr<float>() + row)
                               : quantize_int4(
                                     wide.data(), in_features, format.group_size,
                                     values.data_ptr<uint8_t>() + row * values.size(1),
                                     scales.data_ptr<at::Half>() + row * scales.size(1),
                                     minimums.data_ptr<at::Half>() + row * scales.size(1));
                       if (!is_row_finite) is_finite = false;
                     }
                   });
  return is_finite;
}

bool QuantizedWeight::set_row(int64_t row, const int8_t* row_values, const float* row_scales,
                              const float* row_minimums, int64_t num_groups) {
  auto* to = static_cast<char*>(values.data_ptr()) + row * values.size(1);
  if (format.bits == 8) {
    std::memcpy(to, row_values, static_cast<size_t>(in_features));
  } else {
    pack_int4(reinterpret_cast<const uint8_t*>(row_values), in_features,
              reinterpret_cast<uint8_t*>(to));
  }
  const int64_t share = scales.size(1) / num_groups;
  const auto set_numbers = [&](const float* from, auto* numbers) {
    bool is_exact = true;
    for (int64_t i = 0; i < scales.size(1); ++i) {
      const float number = from == nullptr ? 0 : from[i / share];
      numbers[i] = number;
      is_exact = is_exact && std::isfinite(number) && static_cast<float>(numbers[i]) == number;
    }
    return is_exact;
  };
  const auto set = [&](const float* from, at::Tensor& numbers) {
    const int64_t first = row * numbers.size(1);
    return format.scale_dtype == DType::kFloat32
               ? set_numbers(from, numbers.data_ptr<float>() + first)
               : set_numbers(from, numbers.data_ptr<at::Half>() + first);
  };
  const bool holds_scales = set(row_scales, scales);
  return (!minimums.defined() || set(row_minimums, minimums)) && holds_scales;
}

bool QuantizedWeight::set_rows(int64_t first_row, const at::Tensor& new_values,
                               const at::Tensor& new_scales, const at::Tensor& new_minimums) {
  const auto bytes = new_values.contiguous();
  const auto wide_scales = new_scales.to(at::kFloat).contiguous();
  const auto wide_minimums =
      new_minimums.defined() ? new_minimums.to(at::kFloat).contiguous() : at::Tensor();
  const int64_t num_groups = new_scales.size(1);
  TORCH_CHECK(bytes.size(1) == in_features && scales.size(1) % num_groups == 0);
  TORCH_CHECK(minimums.defined() || !new_minimums.defined());
  std::atomic<bool> is_exact = true;
  parallel_rows(bytes.size(0), in_features, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto* row_values = static_cast<const int8_t*>(bytes.const_data_ptr()) + i * in_features;
      const auto* row_scales = wide_scales.const_data_ptr<float>() + i * num_groups;
      const auto* row_minimums = wide_minimums.defined()
                                     ? wide_minimums.const_data_ptr<float>() + i * num_groups
                                     : nullptr;
      if (!set_row(first_row + i, row_values, row_scales, row_minimums, num_groups)) {
        is_exact = false;
      }
    }
  });
  return is_exact;
}

QuantizedWeight QuantizedWeight::to(at::Device device) const {
  auto there = *this;
  there.values = values.to(device);
  there.scales = scales.to(device);
  if (minimums.defined()) there.minimums = minimums.to(device);
  return there;
}

QuantizedWeight QuantizedWeight::narrow(int64_t first, int64_t count) const {
  auto part = *this;
  part.values = values.narrow(0, first, count);
  part.scales = scales.narrow(0, first, count);
  if (minimums.defined()) part.minimums = minimums.narrow(0, first, count);
  return part;
}

WeightRows QuantizedWeight::rows() const {
  if (format.group_size == 0) {
    return Int8Rows{values.const_data_ptr<int8_t>(), scales.const_data_ptr<float>()};
  }
  const GroupScales groups{format.scale_dtype, scales.const_data_ptr(),
                           minimums.defined() ? minimums.const_data_ptr() : nullptr,
                           format.group_size};
  if (format.bits == 8) return Int8GroupRows{values.const_data_ptr<int8_t>(), groups};
  return Int4Rows{values.const_data_ptr<uint8_t>(), groups};
}

at::Tensor QuantizedWeight::dequantize() const {
  auto wide = at::empty({out_features(), in_features}, at::kFloat);
  widen_rows(rows(), in_features, 0, out_features(), DType::kFloat32, wide.data_ptr());
  return wide;
}

at::Tensor QuantizedWeight::gather(const at::Tensor& ids) const {
  const auto of_rows = ids.contiguous();
  const bool are_rows = ids.ge(0).logical_and(ids.lt(out_features())).all().item<bool>();
  TORCH_CHECK_INDEX(are_rows, "gather: an id is not one of ", out_features());
  auto wide = at::empty({ids.size(0), in_features}, at::kFloat);
  parallel_rows(ids.size(0), in_features, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = of_rows.const_data_ptr<int64_t>()[i];
      widen_rows(rows(), in_features, row, row + 1, DType::kFloat32,
                 wide.data_ptr<float>() + i * in_features);
    }
  });
  return wide;
}

int64_t QuantizedWeight::nbytes() const {
  return static_cast<int64_t>(values.nbytes() + scales.nbytes() +
                              (minimums.defined() ? minimums.nbytes() : 0));
}

}  // namespace prepack
