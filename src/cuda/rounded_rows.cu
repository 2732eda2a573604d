#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;

/// The largest over the threads of a block, in all of them. Called once by each.
__device__ float block_max(float x) {
  __shared__ float of_warps[kThreads / kWarp];
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    x = max(x, __shfl_xor_sync(0xffffffffu, x, distance));
  }
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = x;
  __syncthreads();
  for (int warp = 0; warp < kThreads / kWarp; ++warp) x = max(x, of_warps[warp]);
  return x;
}

/// A row to each block.
template <typename T, int kWidth>
__global__ void round_each(RoundedRows rows) {
  constexpr float kLargest = 127;
  constexpr float kLeast = 1e-30F;  // of a row's largest number: smaller ones become zeros
  const T* x = static_cast<const T*>(rows.x) + blockIdx.x * rows.size;
  int8_t* values = rows.values + blockIdx.x * rows.size;
  float largest = kLeast;
  for (int64_t i = threadIdx.x * kWidth; i < rows.size; i += kThreads * kWidth) {
    const auto numbers = load<kWidth>(x + i);
    for (int k = 0; k < kWidth; ++k) {
      const float number = fabsf(to_float(numbers.values[k]));
      largest = max(largest, isnan(number) ? INFINITY : number);  // max would drop it
    }
  }
  largest = block_max(largest);
  const bool is_finite = !isinf(largest);
  // What is computed with a row that has numbers that are not finite is not a number either.
  if (threadIdx.x == 0) rows.scales[blockIdx.x] = is_finite ? largest / kLargest : NAN;
  const float inverse = kLargest / largest;
  for (int64_t i = threadIdx.x * kWidth; i < rows.size; i += kThreads * kWidth) {
    const auto numbers = load<kWidth>(x + i);
    Pack<int8_t, kWidth> rounded;
    for (int k = 0; k < kWidth; ++k) {
      rounded.values[k] =
          is_finite ? static_cast<int8_t>(rintf(to_float(numbers.values[k]) * inverse)) : 0;
    }
    store(rounded, values + i);
  }
}

/// kWidth output features of a row to each thread.
template <typename T, int kWidth>
__global__ void scale_each(ScaledSums sums) {
  const int64_t num_packs = sums.num_features / kWidth;  // of a row
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= sums.num_rows * num_packs) return;
  const int64_t row = n / num_packs;
  const int64_t i = n % num_packs * kWidth;
  const auto products = load<kWidth>(sums.sums + row * sums.num_features + i);
  const auto scales = load<kWidth>(sums.weight_scales + i);
  T* place = static_cast<T*>(sums.out) + row * sums.out_stride + i;
  Pack<T, kWidth> out;
  if (sums.adds_to_out) out = load<kWidth>(place);
  for (int k = 0; k < kWidth; ++k) {
    float sum = static_cast<float>(products.values[k]) * (sums.row_scales[row] * scales.values[k]);
    if (sums.bias != nullptr) sum += to_float(static_cast<const T*>(sums.bias)[i + k]);
    if (sums.adds_to_out) sum += to_float(out.values[k]);
    from_float(sum, out.values[k]);
  }
  store(out, place);
}

}  // namespace

void round_rows(const RoundedRows& rows, Stream stream) {
  if (rows.num_rows == 0) return;
  with_type(rows.dtype, [&](auto number) {
    using T = decltype(number);
    const dim3 grid(rows.num_rows);
    if (is_aligned<T>({rows.x, rows.values}, {rows.size})) {
      launch(round_each<T, kWide<T>>, grid, dim3(kThreads), stream, rows);
    } else {
      launch(round_each<T, 1>, grid, dim3(kThreads), stream, rows);
    }
  });
}

void scale_sums(const ScaledSums& sums, Stream stream) {
  if (sums.num_rows * sums.num_features == 0) return;
  with_type(sums.dtype, [&](auto number) {
    using T = decltype(number);
    const auto launch_packs = [&](auto* kernel, int width) {
      const int64_t num_packs = sums.num_rows * (sums.num_features / width);
      launch(kernel, dim3(ceil_div(num_packs, kThreads)), dim3(kThreads), stream, sums);
    };
    if (is_aligned<T>({sums.sums, sums.weight_scales, sums.out},
                      {sums.num_features, sums.out_stride})) {
      launch_packs(scale_each<T, kWide<T>>, kWide<T>);
    } else {
      launch_packs(scale_each<T, 1>, 1);
    }
  });
}

}  // namespace prepack::cuda
