#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace prepack {

enum class PageSize {
  kSmall,  // a page takes memory when it is first written to
  kLarge,  // likewise, but pages of megabytes where the system has them: fewer first touches
};

/// Zeros on the CPU in pages of their own, which the system takes back when they are freed: they
/// leave no hole in the heap.
/// @throws OutOfMemory if the system refuses
at::Tensor mapped_zeros(at::IntArrayRef shape, at::ScalarType dtype, PageSize page_size);

/// Uninitialised memory: on the CPU, from so many bytes on, in large pages of its own.
at::Tensor empty_in_large_pages(at::IntArrayRef shape, const at::TensorOptions& options,
                                int64_t least_bytes);

/// Uninitialised memory on the CPU for what is made while weights are loaded, and soon freed: the
/// heap would keep holes of its size.
at::Tensor empty_in_own_pages(at::IntArrayRef shape, at::ScalarType dtype);

/// Uninitialised memory for what is computed next, such as a forward's activations. On the CPU that
/// of large tensors is mapped, so that those of other sizes find no holes of theirs in the heap.
at::Tensor scratch(at::IntArrayRef shape, const at::TensorOptions& options);

}  // namespace prepack
