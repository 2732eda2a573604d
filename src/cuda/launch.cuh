#pragma once

// What a kernel's source needs of CUDA. The tests have a file of this name that runs kernels on the
// CPU: keep to what is in it.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <string>

#include "prepack/error.h"

namespace prepack::cuda {

template <typename Kernel, typename... Arguments>
void launch(Kernel* kernel, dim3 grid, dim3 block, cudaStream_t stream, Arguments... arguments) {
  kernel<<<grid, block, 0, stream>>>(arguments...);
  const auto status = cudaGetLastError();
  if (status != cudaSuccess) {
    throw Error(std::string("a CUDA kernel did not start: ") + cudaGetErrorString(status));
  }
}

}  // namespace prepack::cuda
