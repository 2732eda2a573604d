#pragma once

#include <ATen/core/Tensor.h>

namespace prepack {

/// Zeros that take memory only where they are written to: on the CPU, pages that the system hands
/// out when they are first touched (at::zeros touches all of them). Elsewhere at::zeros.
/// @throws OutOfMemory if the system refuses
at::Tensor lazy_zeros(at::IntArrayRef shape, at::ScalarType dtype, at::Device device);

/// Makes a part of such a tensor zero again and gives its memory back, in whole pages; what shares
/// a page with other parts is left as it is. Does nothing off the CPU.
/// @param part  contiguous
void release_pages(const at::Tensor& part);

}  // namespace prepack
