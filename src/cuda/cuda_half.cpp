// The CUDA half: built as libprepack_cuda where there is a CUDA toolkit, and linked to LibTorch's
// CUDA libraries, which give every operator of the model its CUDA kernel once they are loaded.

#include "cuda/cuda_half.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "cuda/graph.h"
#include "cuda/model_kernels.h"

namespace prepack {
namespace {

int device_count() { return c10::cuda::device_count(); }

std::string device_name(c10::DeviceIndex device) {
  cudaDeviceProp properties{};
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties.name;
}

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

void reset_peak_memory(c10::DeviceIndex device) {
  c10::cuda::CUDACachingAllocator::resetPeakStats(device);
}

/// NVML, the driver's management library: opened rather than linked, because not every driver has
/// it, and declared here, because not every toolkit has its header. (NVML API reference, "Device
/// Queries")
class Nvml {
 public:
  Nvml() {
    void* library = dlopen("libnvidia-ml.so.1", RTLD_LAZY);
    if (library == nullptr) return;
    const auto init = find<int (*)()>(library, "nvmlInit_v2");
    by_bus_id_ = find<ByBusId>(library, "nvmlDeviceGetHandleByPciBusId_v2");
    rates_ = find<Rates>(library, "nvmlDeviceGetUtilizationRates");
    ready_ = init != nullptr && by_bus_id_ != nullptr && rates_ != nullptr && init() == kSuccess;
  }

  /// By its bus, because NVML does not count devices as CUDA_VISIBLE_DEVICES does.
  double utilisation(c10::DeviceIndex device) const {
    char bus_id[32] = {};
    void* handle = nullptr;
    Utilization rates{};
    const bool known =
        ready_ && cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), device) == cudaSuccess &&
        by_bus_id_(bus_id, &handle) == kSuccess && rates_(handle, &rates) == kSuccess;
    return known ? rates.gpu : -1;
  }

 private:
  struct Utilization {  // nvmlUtilization_t, percent
    unsigned gpu;
    unsigned memory;
  };
  using ByBusId = int (*)(const char* bus_id, void** handle);
  using Rates = int (*)(void* handle, Utilization* rates);
  static constexpr int kSuccess = 0;

  template <typename Function>
  static Function find(void* library, const char* name) {
    return reinterpret_cast<Function>(dlsym(library, name));
  }

  bool ready_ = false;
  ByBusId by_bus_id_ = nullptr;
  Rates rates_ = nullptr;
};

double utilisation(c10::DeviceIndex device) {
  static const Nvml nvml;
  return nvml.utilisation(device);
}

}  // namespace
}  // namespace prepack

extern "C" const prepack::CudaHalf* prepack_cuda_half() {
  // On Hopper LibTorch 2.11 would give dense attention in 16 bits to cuDNN first, which plans anew,
  // for up to half a second, whenever a shape is new: as each batch's is here.
  at::globalContext().setSDPUseCuDNN(false);
  static const prepack::CudaHalf half{
      .size = sizeof(prepack::CudaHalf),
      .device_count = prepack::device_count,
      .device_name = prepack::device_name,
      .synchronize = prepack::synchronize,
      .free_memory = prepack::free_memory,
      .peak_memory = prepack::peak_memory,
      .reset_peak_memory = prepack::reset_peak_memory,
      .utilisation = prepack::utilisation,
      .rms_norm = prepack::cuda::rms_norm,
      .rope_and_store = prepack::cuda::rope_and_store,
      .swiglu = prepack::cuda::swiglu,
      .widen_rows = prepack::cuda::widen_rows,
      .multiply_few_rows = prepack::cuda::multiply_few_rows,
      .round_rows = prepack::cuda::round_rows,
      .scale_sums = prepack::cuda::scale_sums,
      .sample = prepack::cuda::sample,
      .capture = prepack::cuda::capture,
  };
  return &half;
}
