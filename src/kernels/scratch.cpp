#include "kernels/scratch.h"

#include <hwy/aligned_allocator.h>

#include <new>

namespace prepack {
namespace {

constexpr int64_t kLine = 16;  // floats of a cache line

thread_local hwy::AlignedFreeUniquePtr<float[]> kept;
thread_local int64_t kept_size = 0;

}  // namespace

Scratch::Scratch(int64_t size, int64_t num_parts) {
  // Each part is followed by up to two lines, see take().
  size += num_parts * 2 * kLine;
  if (kept_size < size) {
    kept.reset();  // before the new one is there, to need no more than that
    kept_size = 0;
    kept = hwy::AllocateAligned<float>(static_cast<size_t>(size));
    if (kept == nullptr) throw std::bad_alloc();
    kept_size = size;
  }
  next_ = kept.get();
}

float* Scratch::take(int64_t size) {
  float* part = next_;
  // One line apart: parts whose addresses differ by a multiple of 4096 slow each other down.
  next_ += (size + kLine - 1) / kLine * kLine + kLine;
  return part;
}

}  // namespace prepack
