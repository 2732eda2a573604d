#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <span>
#include <vector>

#include "cuda/kernels.h"

namespace prepack::cuda {

// The kernels on tensors: as CudaHalf describes them.

void rms_norm(const at::Tensor& heads, const at::Tensor& weight, double eps, const at::Tensor& out);

void rope_and_store(const at::Tensor& heads, int64_t num_query_heads, const at::Tensor& cos,
                    const at::Tensor& sin, const at::Tensor& slots, const at::Tensor& keys,
                    const at::Tensor& values);

void swiglu(const at::Tensor& gate_up, const at::Tensor& out);

void widen_rows(const QuantizedRows& rows, DType dtype, void* out, c10::DeviceIndex device);

void multiply_few_rows(const QuantizedProduct& product, c10::DeviceIndex device);

void round_rows(const RoundedRows& rows, c10::DeviceIndex device);

void scale_sums(const ScaledSums& sums, c10::DeviceIndex device);

std::vector<int64_t> sample(const at::Tensor& logits, std::span<const RowSampling> sampling);

}  // namespace prepack::cuda
