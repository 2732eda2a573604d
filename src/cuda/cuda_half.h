#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace prepack {

/// What the library asks of CUDA, as a table of functions, because it is not linked to CUDA: the
/// table is in a shared library of its own, libprepack_cuda, that is loaded when a GPU is used.
struct CudaHalf {
  size_t size;  // of this struct: a library of another build is not taken
  int (*device_count)();
  std::string (*device_name)(c10::DeviceIndex device);  // "NVIDIA H200"
  void (*synchronize)(c10::DeviceIndex device);
  int64_t (*free_memory)(c10::DeviceIndex device);
  int64_t (*peak_memory)(c10::DeviceIndex device);  // bytes of tensors since the last reset
  void (*reset_peak_memory)(c10::DeviceIndex device);
  double (*utilisation)(c10::DeviceIndex device);  // percent, from NVML; -1: not known
};

/// Loads libprepack_cuda, once. nullptr where it was not built, or there is no CUDA driver.
const CudaHalf* load_cuda_half();

}  // namespace prepack
