#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <new>

namespace prepack::testing {

/// Memory that ends where a page begins that nobody may read or write. The address sanitizer sees
/// what lies before memory, too, but no masked loads.
template <typename T>
struct GuardedAllocator {
  using value_type = T;

  GuardedAllocator() = default;
  template <typename U>
  explicit GuardedAllocator(const GuardedAllocator<U>& /*other*/) {}

  T* allocate(size_t count) {
    const size_t size = whole_pages(count);
    void* memory = mmap(nullptr, size + page_size(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, /*offset=*/0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    auto* end = static_cast<std::byte*>(memory) + size;
    if (mprotect(end, page_size(), PROT_NONE) != 0) throw std::bad_alloc();
    return reinterpret_cast<T*>(end - count * sizeof(T));
  }

  void deallocate(T* memory, size_t count) {
    const size_t size = whole_pages(count);
    munmap(reinterpret_cast<std::byte*>(memory + count) - size, size + page_size());
  }

  bool operator==(const GuardedAllocator& /*other*/) const { return true; }

 private:
  static size_t page_size() {
    static const auto kSize = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return kSize;
  }
  static size_t whole_pages(size_t count) {
    return (count * sizeof(T) + page_size() - 1) / page_size() * page_size();
  }
};

#if defined(__SANITIZE_ADDRESS__)
template <typename T>
using WatchedAllocator = std::allocator<T>;
#else
template <typename T>
using WatchedAllocator = GuardedAllocator<T>;
#endif

}  // namespace prepack::testing
