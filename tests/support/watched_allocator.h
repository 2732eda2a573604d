#pragma once

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace prepack::testing {

/// Gives LibTorch its memory on the CPU while it lives, and lets a test watch or refuse.
class WatchedAllocator : public c10::Allocator {
 public:
  WatchedAllocator() : usual_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this); }
  ~WatchedAllocator() override { c10::SetCPUAllocator(usual_); }
  WatchedAllocator(const WatchedAllocator&) = delete;
  WatchedAllocator& operator=(const WatchedAllocator&) = delete;

  /// @param watch  called before each allocation; may throw
  void set_watch(std::function<void(size_t num_bytes)> watch) {
    const std::lock_guard lock(mutex_);
    watch_ = std::move(watch);
  }

  c10::DataPtr allocate(size_t num_bytes) override {
    if (const std::lock_guard lock(mutex_); watch_) watch_(num_bytes);
    return usual_->allocate(num_bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return usual_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    default_copy_data(to, from, num_bytes);
  }

 private:
  c10::Allocator* usual_;
  std::mutex mutex_;
  std::function<void(size_t num_bytes)> watch_;
};

/// Memory that a test lets run out: once, so that what is done again has enough.
class FailingAllocator : public WatchedAllocator {
 public:
  /// @param countdown  allocations that are yet to be had
  /// @param fail       throws, as memory does that has run out
  void run_out_after(int64_t countdown, std::function<void()> fail) {
    set_watch([this, fail = std::move(fail)](size_t) {
      if (countdown_-- == 0) fail();
    });
    countdown_ = countdown;
  }

  /// Whether it has run out since it was told to.
  bool has_run_out() const { return countdown_ < 0; }

 private:
  int64_t countdown_ = 0;
};

/// What is thrown where memory runs out: by LibTorch's allocators on a GPU and on the CPU, by
/// cuBLAS and by C++.
inline std::vector<std::function<void()>> ways_to_run_out() {
  return {
      [] { C10_THROW_ERROR(OutOfMemoryError, "no memory is left"); },
      [] { TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory: no memory is left"); },
      [] { TORCH_CHECK(false, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when a handle was made"); },
      [] { throw std::bad_alloc(); }};
}

}  // namespace prepack::testing
