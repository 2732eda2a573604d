#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {
namespace {

constexpr int kWarp = 32;

/// The sum over the threads of a row: a warp, or the whole block.
template <int kThreads>
__device__ float row_sum(float x) {
  x = warp_sum(x);
  if constexpr (kThreads > kWarp) {
    __shared__ float of_warps[kThreads / kWarp];
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) x += of_warps[warp];
  }
  return x;
}

/// A row to the kThreads threads of one threadIdx.y. Each reads its part twice, the second time
/// from the first cache, and writes no other, so that it may be in place.
template <typename T, int kWidth, int kThreads>
__global__ void norm_rows(RmsNormRows rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= rows.num_tokens * rows.num_heads) return;  // a whole warp, or the whole block
  const int64_t token = row / rows.num_heads;
  const int64_t head = row % rows.num_heads;
  const T* input = static_cast<const T*>(rows.input) + token * rows.input_stride + head * rows.size;
  T* out = static_cast<T*>(rows.out) + token * rows.out_stride + head * rows.size;
  const T* weight = static_cast<const T*>(rows.weight);

  float squares = 0;
  for (int64_t i = threadIdx.x * kWidth; i < rows.size; i += kThreads * kWidth) {
    const auto x = load<kWidth>(input + i);
    for (int k = 0; k < kWidth; ++k) squares += to_float(x.values[k]) * to_float(x.values[k]);
  }
  const float mean = row_sum<kThreads>(squares) / static_cast<float>(rows.size);
  const float scale = 1 / sqrtf(mean + rows.eps);
  for (int64_t i = threadIdx.x * kWidth; i < rows.size; i += kThreads * kWidth) {
    auto x = load<kWidth>(input + i);
    const auto factor = load<kWidth>(weight + i);
    for (int k = 0; k < kWidth; ++k) {
      from_float(to_float(x.values[k]) * scale * to_float(factor.values[k]), x.values[k]);
    }
    store(x, out + i);
  }
}

template <typename T, int kWidth>
void launch_rows(const RmsNormRows& rows, Stream stream) {
  const int64_t num_rows = rows.num_tokens * rows.num_heads;
  // A warp has enough to do with a head; hidden states are worth a block.
  if (rows.size <= 512) {
    constexpr int kRows = 8;
    launch(norm_rows<T, kWidth, kWarp>, dim3(ceil_div(num_rows, kRows)), dim3(kWarp, kRows), stream,
           rows);
  } else {
    constexpr int kThreads = 256;
    launch(norm_rows<T, kWidth, kThreads>, dim3(num_rows), dim3(kThreads), stream, rows);
  }
}

}  // namespace

void rms_norm(const RmsNormRows& rows, Stream stream) {
  if (rows.num_tokens * rows.num_heads == 0) return;
  with_type(rows.dtype, [&](auto number) {
    using T = decltype(number);
    if (is_aligned<T>({rows.input, rows.weight, rows.out},
                      {rows.size, rows.input_stride, rows.out_stride})) {
      launch_rows<T, kWide<T>>(rows, stream);
    } else {
      launch_rows<T, 1>(rows, stream);
    }
  });
}

}  // namespace prepack::cuda
