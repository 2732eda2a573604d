#include "cuda/graph.h"

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <map>

namespace prepack::cuda {
namespace {

/// The default stream cannot be captured. One for all graphs of a thread, because cuBLAS keeps a
/// workspace for each stream that it was used on.
c10::cuda::CUDAStream capture_stream(c10::DeviceIndex device) {
  thread_local std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) return found->second;
  const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device);
  return streams.emplace(device, stream).first->second;
}

/// For steps on the way out of a failure, whose own errors would hide the first one.
template <typename F>
void quietly(const F& f) {
  try {
    f();
  } catch (...) {
  }
}

class CapturedGraph : public DeviceGraph {
 public:
  CapturedGraph(c10::DeviceIndex device, const CapturedGraph* sharing,
                const std::function<void()>& run)
      : device_(device),
        stream_(sharing != nullptr ? sharing->stream_ : capture_stream(device)),
        pool_(sharing != nullptr ? sharing->pool_ : at::cuda::graph_pool_handle()) {
    const c10::cuda::CUDAGuard device_guard(device);
    // What was given to other streams before must be done: the graph's own begins with nothing
    // before it.
    c10::cuda::device_synchronize();
    const c10::cuda::CUDAStreamGuard stream_guard(stream_);
    try {
      graph_.capture_begin(pool_);
      run();
      graph_.capture_end();
    } catch (...) {
      abandon();
      throw;
    }
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
  /// Ends a capture that has failed, so that its stream and the allocators can go on; the graph is
  /// not used.
  void abandon() {
    quietly([this] { graph_.capture_end(); });
    // That ends the stream's part first, and where it fails there it does not come to the
    // allocators'. They would keep asking a graph that is gone. Where nothing is left to end, these
    // throw before they release anything.
    quietly([this] {
      c10::cuda::CUDACachingAllocator::endAllocateToPool(device_, pool_);
      c10::cuda::CUDACachingAllocator::releasePool(device_, pool_);
    });
    quietly([this] {
      auto* pinned = at::getHostAllocator(at::kCUDA);
      pinned->end_allocate_to_pool(pool_);
      pinned->release_pool(pool_);
    });
    static_cast<void>(cudaGetLastError());  // or the next launch would be blamed for it
  }

  c10::DeviceIndex device_;
  // Graphs that share a pool share it too, because memory of one stream is not given to another.
  c10::cuda::CUDAStream stream_;
  c10::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<DeviceGraph> capture(c10::DeviceIndex device, const DeviceGraph* sharing,
                                     const std::function<void()>& run) {
  const auto record = [&] {
    return std::make_unique<CapturedGraph>(device, static_cast<const CapturedGraph*>(sharing), run);
  };
  try {
    return record();
  } catch (const c10::OutOfMemoryError&) {
    // While it captures, LibTorch's allocator gives no memory back that lies idle.
    c10::cuda::CUDACachingAllocator::emptyCache();
    return record();
  }
}

}  // namespace prepack::cuda
