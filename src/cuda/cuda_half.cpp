// The CUDA half: built as libprepack_cuda where there is a CUDA toolkit, and linked to LibTorch's
// CUDA libraries, which give every operator of the model its CUDA kernel once they are loaded.

#include "cuda/cuda_half.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

namespace prepack {
namespace {

int device_count() { return c10::cuda::device_count(); }

void synchronize(c10::DeviceIndex device) {
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::device_synchronize();
}

int64_t free_memory(c10::DeviceIndex device) {
  const c10::cuda::CUDAGuard guard(device);
  size_t free = 0;
  size_t total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(free);
}

int64_t peak_memory(c10::DeviceIndex device) {
  using c10::CachingAllocator::StatType;
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device);
  return stats.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)].peak;
}

}  // namespace
}  // namespace prepack

extern "C" const prepack::CudaHalf* prepack_cuda_half() {
  static const prepack::CudaHalf half{
      .device_count = prepack::device_count,
      .synchronize = prepack::synchronize,
      .free_memory = prepack::free_memory,
      .peak_memory = prepack::peak_memory,
  };
  return &half;
}
