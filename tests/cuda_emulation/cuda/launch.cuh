#pragma once

// Runs the kernels of src/cuda on the CPU, where there is no GPU: their sources are compiled as C++
// with this file in the place of src/cuda/launch.cuh. The threads of a block are fibers, which take
// turns at barriers and shuffles, so that every run is the same; blocks run one after the other.
// That shows wrong indices, tails and barriers; not races, nor what a GPU's own arithmetic rounds
// differently.

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

// CUDA's own number types, which have a form for the host; the qualifiers are empty there.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#undef __shared__
#define __shared__ static

struct CUstream_st;

namespace prepack::cuda {

struct Place {
  unsigned x = 0;
  unsigned y = 0;
};

inline Place thread_place;
inline Place block_place;
inline dim3 block_size;

/// The fibers of the block that runs.
class Fibers {
 public:
  static Fibers& of_block() {
    static Fibers fibers;
    return fibers;
  }

  /// Runs every thread of a block to its end.
  void run(dim3 block, const std::function<void()>& thread) {
    const int num_threads = static_cast<int>(block.x * block.y);
    while (std::ssize(fibers_) < num_threads) fibers_.push_back(std::make_unique<Fiber>());
    exchanged_.assign(num_threads, 0);
    thread_ = &thread;
    for (int i = 0; i < num_threads; ++i) start(*fibers_[i]);
    for (bool is_running = true; is_running;) {
      is_running = false;
      int num_waiting = 0;
      int num_threads_at_barrier = 0;
      for (current_ = 0; current_ < num_threads; ++current_) {
        auto& fiber = *fibers_[current_];
        if (fiber.is_done) continue;
        thread_place = {current_ % block.x, current_ / block.x};
        swapcontext(&scheduler_, &fiber.context);
        if (fiber.is_done) continue;
        is_running = true;
        ++num_waiting;
        num_threads_at_barrier += fiber.is_at_barrier ? 1 : 0;
      }
      // A GPU would wait for ever, or go on too early.
      if (num_threads_at_barrier != 0 && num_threads_at_barrier != num_waiting) {
        throw std::logic_error("some threads of a block are at a barrier, others are not");
      }
    }
  }

  void wait(bool is_barrier) {
    auto& fiber = *fibers_[current_];
    fiber.is_at_barrier = is_barrier;
    swapcontext(&fiber.context, &scheduler_);
  }

  /// The value that the thread `lane_mask` away has, in a warp.
  template <typename T>
  T exchange(T value, int lane_mask) {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    const int own = current_;
    std::memcpy(&exchanged_[own], &value, sizeof(T));
    wait(/*is_barrier=*/false);
    std::memcpy(&value, &exchanged_[own ^ lane_mask], sizeof(T));
    wait(/*is_barrier=*/false);
    return value;
  }

 private:
  struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(64 << 10);
    bool is_done = false;
    bool is_at_barrier = false;
  };

  void start(Fiber& fiber) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler_;
    fiber.is_done = false;
    makecontext(&fiber.context, run_current, 0);
  }

  static void run_current() {
    auto& fibers = of_block();
    const int own = fibers.current_;
    (*fibers.thread_)();
    fibers.fibers_[own]->is_done = true;
  }

  ucontext_t scheduler_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<uint64_t> exchanged_;
  const std::function<void()>* thread_ = nullptr;
  int current_ = 0;
};

inline void barrier() { Fibers::of_block().wait(/*is_barrier=*/true); }

template <typename T>
T shuffle_xor(unsigned, T value, int lane_mask) {
  return Fibers::of_block().exchange(value, lane_mask);
}

template <typename T>
T add_to_shared(T* address, T value) {
  const T before = *address;
  *address += value;
  return before;
}

template <typename Kernel, typename... Arguments>
void launch(Kernel* kernel, dim3 grid, dim3 block, CUstream_st*, Arguments... arguments) {
  block_size = block;
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      block_place = {x, y};
      Fibers::of_block().run(block, [&] { kernel(arguments...); });
    }
  }
}

using std::isinf;
using std::isnan;
using std::max;
using std::min;

}  // namespace prepack::cuda

#define threadIdx ::prepack::cuda::thread_place
#define blockIdx ::prepack::cuda::block_place
#define blockDim ::prepack::cuda::block_size
#define __syncthreads ::prepack::cuda::barrier
#define __shfl_xor_sync ::prepack::cuda::shuffle_xor
#define atomicAdd ::prepack::cuda::add_to_shared
