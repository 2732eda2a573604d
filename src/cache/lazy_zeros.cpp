#include "cache/lazy_zeros.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "prepack/error.h"

namespace prepack {

at::Tensor lazy_zeros(at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto num_bytes =
      static_cast<size_t>(c10::multiply_integers(shape)) * c10::elementSize(dtype);
  if (!device.is_cpu() || num_bytes == 0) return at::zeros(shape, options);
  void* data = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    throw OutOfMemory(fmt::format("cannot map {} bytes: {}", num_bytes, std::strerror(errno)));
  }
  // Huge pages would bring two megabytes of zeros with each token written.
  madvise(data, num_bytes, MADV_NOHUGEPAGE);
  return at::from_blob(
      data, shape, [num_bytes](void* mapped) { munmap(mapped, num_bytes); }, options);
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
