#include "cuda/graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

namespace prepack::cuda {
namespace {

class CapturedGraph : public DeviceGraph {
 public:
  CapturedGraph(c10::DeviceIndex device, const CapturedGraph* sharing,
                const std::function<void()>& run)
      : device_(device),
        stream_(sharing != nullptr
                    ? sharing->stream_
                    : c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)),
        pool_(sharing != nullptr ? sharing->pool_ : at::cuda::graph_pool_handle()) {
    const c10::cuda::CUDAGuard device_guard(device);
    // What was given to other streams before must be done: the graph's own begins with nothing
    // before it.
    c10::cuda::device_synchronize();
    // While it captures, LibTorch's allocator gives no memory back that lies idle.
    if (sharing == nullptr) c10::cuda::CUDACachingAllocator::emptyCache();
    const c10::cuda::CUDAStreamGuard stream_guard(stream_);
    graph_.capture_begin(pool_);
    try {
      run();
    } catch (...) {
      // Ends the capture, so that the stream can be used again; the graph is not.
      try {
        graph_.capture_end();
      } catch (...) {
      }
      throw;
    }
    graph_.capture_end();
  }

  ~CapturedGraph() override {
    // The last replay may not be done. An error of the device is not this destructor's to tell.
    const c10::cuda::CUDAGuard guard(device_);
    static_cast<void>(cudaDeviceSynchronize());
  }

  void replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    graph_.replay();
  }

 private:
  c10::DeviceIndex device_;
  // The default stream cannot be captured. Graphs that share a pool share it too, because memory of
  // one stream is not given to another.
  c10::cuda::CUDAStream stream_;
  c10::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<DeviceGraph> capture(c10::DeviceIndex device, const DeviceGraph* sharing,
                                     const std::function<void()>& run) {
  return std::make_unique<CapturedGraph>(device, static_cast<const CapturedGraph*>(sharing), run);
}

}  // namespace prepack::cuda
