#include "cache/lazy_zeros.h"

#include <ATen/ops/zeros.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "base/mapped_tensor.h"

namespace prepack {

at::Tensor lazy_zeros(at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  // Large pages would bring two megabytes of zeros with each token written.
  return device.is_cpu() ? mapped_zeros(shape, dtype, PageSize::kSmall)
                         : at::zeros(shape, at::TensorOptions().dtype(dtype).device(device));
}

void release_pages(const at::Tensor& part) {
  if (!part.is_cpu()) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data_ptr());
  const auto first_page = (begin + page - 1) / page * page;
  const auto last_page = (begin + part.nbytes()) / page * page;
  if (first_page >= last_page) return;
  madvise(reinterpret_cast<void*>(first_page), last_page - first_page, MADV_DONTNEED);
}

}  // namespace prepack
