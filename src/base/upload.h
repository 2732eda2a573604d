#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace prepack {

/// Brings small tensors to a device: in one piece, through pinned memory, and without waiting for
/// the device. On the CPU they are returned as they are.
/// @param tensors  contiguous, int64 or int32, on the CPU
/// @return         the same in the same order; one memory, which lives as long as any of them
std::vector<at::Tensor> upload(std::vector<at::Tensor> tensors, at::Device device);

/// The same of one tensor of any dtype.
at::Tensor upload(const at::Tensor& tensor, at::Device device);

/// Lays tensors one behind the other, each at a multiple of 8 bytes.
/// @return [num_bytes / 8] int64
at::Tensor join(const std::vector<at::Tensor>& tensors, bool is_pinned);

/// Views of a joined tensor, with the dtypes and sizes of those that were joined.
std::vector<at::Tensor> split(const at::Tensor& joined, const std::vector<at::Tensor>& like);

}  // namespace prepack
