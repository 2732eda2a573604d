#include <dlfcn.h>

#include "cuda/cuda_half.h"
#include "prepack/error.h"

namespace prepack {
namespace {

/// Why it is not there, in the loader's words.
std::string& failure() {
  static std::string why;
  return why;
}

/// Null, and the failure told, if the library cannot be loaded.
void* open_library(const char* name, int flags) {
  void* library = dlopen(name, flags);
  const char* why = library == nullptr ? dlerror() : nullptr;
  if (why != nullptr) failure() = why;
  return library;
}

}  // namespace

const CudaHalf* load_cuda_half() {
  static const CudaHalf* const half = []() -> const CudaHalf* {
    // LibTorch's CUDA libraries take 350 MB of memory and 0.15 s to load: not without a driver.
    if (open_library("libcuda.so.1", RTLD_LAZY) == nullptr) return nullptr;
    // RTLD_GLOBAL: LibTorch's own CUDA library registers its kernels with the CPU half by symbols.
    void* library = open_library("libprepack_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) return nullptr;
    using Entry = const CudaHalf* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "prepack_cuda_half"));
    const auto* found = entry == nullptr ? nullptr : entry();
    return found != nullptr && found->size == sizeof(CudaHalf) ? found : nullptr;
  }();
  return half;
}

std::string no_cuda_reason() {
  return failure().empty() ? "prepack was built without CUDA" : failure();
}

const CudaHalf& cuda_half() {
  const auto* half = load_cuda_half();
  if (half == nullptr) throw InvalidArgument("there is no CUDA: " + no_cuda_reason());
  return *half;
}

}  // namespace prepack
