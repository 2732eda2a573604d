#pragma once

#include <cstdint>
#include <initializer_list>

#include "cuda/launch.cuh"
#include "prepack/dtype.h"

namespace prepack::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }

__device__ inline void from_float(float x, float& out) { out = x; }
__device__ inline void from_float(float x, __nv_bfloat16& out) { out = __float2bfloat16(x); }
__device__ inline void from_float(float x, __half& out) { out = __float2half(x); }

/// Numbers that are read and written together, in accesses of up to 16 bytes.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth < 16 ? sizeof(T) * kWidth : 16) Pack {
  T values[kWidth];
};

template <int kWidth, typename T>
__device__ inline Pack<T, kWidth> load(const T* from) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(from);
}

template <typename T, int kWidth>
__device__ inline void store(const Pack<T, kWidth>& pack, T* to) {
  *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
}

/// The sum over the 32 threads of a warp, in all of them.
__device__ inline float warp_sum(float x) {
  for (int distance = 16; distance > 0; distance /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, distance);
  }
  return x;
}

/// Numbers of a 16-byte access.
template <typename T>
constexpr int kWide = 16 / sizeof(T);

/// Whether such accesses are aligned, if these are the addresses and the distances between them.
template <typename T>
bool is_aligned(std::initializer_list<const void*> addresses,
                std::initializer_list<int64_t> distances) {
  for (const void* address : addresses) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  }
  for (int64_t distance : distances) {
    if (distance % kWide<T> != 0) return false;
  }
  return true;
}

/// Calls f with a number of the C++ type that the dtype names.
template <typename F>
void with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float());
    case DType::kBFloat16:
      return f(__nv_bfloat16());
    case DType::kFloat16:
      return f(__half());
  }
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace prepack::cuda
