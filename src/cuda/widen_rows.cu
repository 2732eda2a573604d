#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/quantized_rows.cuh"

namespace prepack::cuda {
namespace {

/// kTogether weights to each thread.
template <typename T, int kBits>
__global__ void widen_chunks(QuantizedRows rows, T* out) {
  const int64_t num_packs = rows.in_features / kTogether;  // of a row
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= rows.num_rows * num_packs) return;
  const int64_t row = n / num_packs;
  const int64_t i = n % num_packs * kTogether;
  const int in_chunk = static_cast<int>(i % kChunk<kBits>);
  const auto weights = unpack<kBits>(chunk_at<kBits>(rows, row, i - in_chunk), in_chunk / kTogether,
                                     scaling_of(rows, row, i));
  Pack<T, kTogether> narrow;
  for (int k = 0; k < kTogether; ++k) from_float(weights.values[k], narrow.values[k]);
  store(narrow, out + row * rows.in_features + i);
}

/// A weight to each thread: of whatever size and wherever it lies.
template <typename T, int kBits>
__global__ void widen_weights(QuantizedRows rows, T* out) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= rows.num_rows * rows.in_features) return;
  from_float(weight_at<kBits>(rows, n / rows.in_features, n % rows.in_features), out[n]);
}

}  // namespace

void widen_rows(const QuantizedRows& rows, DType dtype, void* out, Stream stream) {
  const int64_t size = rows.num_rows * rows.in_features;
  if (size == 0) return;
  constexpr int kThreads = 256;
  with_type(dtype, [&](auto number) {
    using T = decltype(number);
    with_bits(rows, [&](auto bits) {
      constexpr int kBits = decltype(bits)::value;
      if (has_whole_chunks<kBits>(rows) && is_aligned<T>({out}, {rows.in_features})) {
        launch(widen_chunks<T, kBits>, dim3(ceil_div(size / kTogether, kThreads)), dim3(kThreads),
               stream, rows, static_cast<T*>(out));
      } else {
        launch(widen_weights<T, kBits>, dim3(ceil_div(size, kThreads)), dim3(kThreads), stream,
               rows, static_cast<T*>(out));
      }
    });
  });
}

}  // namespace prepack::cuda
