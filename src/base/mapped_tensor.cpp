#include "base/mapped_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "prepack/error.h"

namespace prepack {
namespace {

/// Smaller ones, such as those of decode steps, come from the heap, which keeps their pages.
constexpr int64_t kMappedBytes = int64_t{8} << 20;

int64_t num_bytes_of(at::IntArrayRef shape, at::ScalarType dtype) {
  return c10::multiply_integers(shape) * static_cast<int64_t>(c10::elementSize(dtype));
}

}  // namespace

at::Tensor mapped_zeros(at::IntArrayRef shape, at::ScalarType dtype, PageSize page_size) {
  const auto num_bytes = static_cast<size_t>(num_bytes_of(shape, dtype));
  if (num_bytes == 0) return at::zeros(shape, dtype);
  void* data = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    throw OutOfMemory(fmt::format("cannot map {} bytes: {}", num_bytes, std::strerror(errno)));
  }
  madvise(data, num_bytes, page_size == PageSize::kLarge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return at::from_blob(
      data, shape, [num_bytes](void* mapped) { munmap(mapped, num_bytes); }, dtype);
}

at::Tensor empty_in_large_pages(at::IntArrayRef shape, const at::TensorOptions& options,
                                int64_t least_bytes) {
  const auto dtype = c10::typeMetaToScalarType(options.dtype());
  const bool is_mapped = options.device().is_cpu() && num_bytes_of(shape, dtype) >= least_bytes;
  return is_mapped ? mapped_zeros(shape, dtype, PageSize::kLarge) : at::empty(shape, options);
}

at::Tensor empty_in_own_pages(at::IntArrayRef shape, at::ScalarType dtype) {
  constexpr int64_t kLeastBytes = int64_t{1} << 20;
  return empty_in_large_pages(shape, at::TensorOptions().dtype(dtype), kLeastBytes);
}

at::Tensor scratch(at::IntArrayRef shape, const at::TensorOptions& options) {
  return empty_in_large_pages(shape, options, kMappedBytes);
}

}  // namespace prepack
