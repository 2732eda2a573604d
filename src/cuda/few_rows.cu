#include "cuda/device.cuh"
#include "cuda/kernels.h"
#include "cuda/quantized_rows.cuh"

namespace prepack::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 4;  // of a block

template <typename T>
__device__ void write(const QuantizedProduct& product, int64_t row, int64_t feature, float sum) {
  if (product.bias != nullptr) sum += to_float(static_cast<const T*>(product.bias)[feature]);
  T& out = static_cast<T*>(product.out)[row * product.out_stride + feature];
  if (product.adds_to_out) sum += to_float(out);
  from_float(sum, out);
}

/// kFeatures output features to each warp, for the kRows rows from `first_row` on, so that a weight
/// that was unpacked is multiplied with all of these, and what is read of a row with all of those.
template <typename T, int kBits, int kRows, int kFeatures>
__global__ void multiply_chunks(QuantizedProduct product, int64_t first_row) {
  const auto& weight = product.weight;
  const int64_t warp = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const int64_t first_feature = warp * kFeatures;
  if (first_feature >= weight.num_rows) return;  // a whole warp
  // Rows and features past the last are the last once more, and are not written.
  const T* rows[kRows];
  for (int r = 0; r < kRows; ++r) {
    const int64_t row = min(first_row + r, product.num_rows - 1);
    rows[r] = static_cast<const T*>(product.x) + row * weight.in_features;
  }
  float sums[kRows][kFeatures] = {};
  for (int64_t i = threadIdx.x * kChunk<kBits>; i < weight.in_features;
       i += kWarp * kChunk<kBits>) {
    Words chunks[kFeatures];
    Scaling scalings[kFeatures];
    for (int f = 0; f < kFeatures; ++f) {
      const int64_t feature = min(first_feature + f, weight.num_rows - 1);
      chunks[f] = chunk_at<kBits>(weight, feature, i);
      scalings[f] = scaling_of(weight, feature, i);
    }
    for (int part = 0; part < kChunk<kBits> / kTogether; ++part) {
      Pack<float, kTogether> weights[kFeatures];
      for (int f = 0; f < kFeatures; ++f) weights[f] = unpack<kBits>(chunks[f], part, scalings[f]);
      for (int r = 0; r < kRows; ++r) {
        const auto x = load<kTogether>(rows[r] + i + part * kTogether);
        for (int f = 0; f < kFeatures; ++f) {
          for (int k = 0; k < kTogether; ++k) {
            sums[r][f] = fmaf(to_float(x.values[k]), weights[f].values[k], sums[r][f]);
          }
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int f = 0; f < kFeatures; ++f) {
      const float sum = warp_sum(sums[r][f]);
      const bool is_there = first_row + r < product.num_rows && first_feature + f < weight.num_rows;
      if (threadIdx.x == 0 && is_there) write<T>(product, first_row + r, first_feature + f, sum);
    }
  }
}

/// An output feature of a row to each warp: of whatever size and wherever it lies.
template <typename T, int kBits>
__global__ void multiply_weights(QuantizedProduct product, int64_t row) {
  const auto& weight = product.weight;
  const int64_t feature = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (feature >= weight.num_rows) return;  // a whole warp
  const T* x = static_cast<const T*>(product.x) + row * weight.in_features;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < weight.in_features; i += kWarp) {
    sum = fmaf(to_float(x[i]), weight_at<kBits>(weight, feature, i), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x == 0) write<T>(product, row, feature, sum);
}

template <typename T, int kBits>
void launch_chunks(const QuantizedProduct& product, Stream stream) {
  const auto launch_rows = [&](auto* kernel, int64_t first_row, int num_features) {
    const dim3 grid(ceil_div(product.weight.num_rows, kWarps * num_features));
    launch(kernel, grid, dim3(kWarp, kWarps), stream, product, first_row);
  };
  constexpr int kMostRows = 8;
  for (int64_t first = 0; first < product.num_rows; first += kMostRows) {
    const int64_t num_rows = product.num_rows - first;
    // More features for more rows, so that those are read from the first cache less often.
    if (num_rows == 1) {
      launch_rows(multiply_chunks<T, kBits, 1, 2>, first, 2);
    } else if (num_rows == 2) {
      launch_rows(multiply_chunks<T, kBits, 2, 2>, first, 2);
    } else if (num_rows <= 4) {
      launch_rows(multiply_chunks<T, kBits, 4, 4>, first, 4);
    } else {
      launch_rows(multiply_chunks<T, kBits, kMostRows, 4>, first, 4);
    }
  }
}

}  // namespace

void multiply_few_rows(const QuantizedProduct& product, Stream stream) {
  if (product.weight.num_rows == 0) return;
  with_type(product.dtype, [&](auto number) {
    using T = decltype(number);
    with_bits(product.weight, [&](auto bits) {
      constexpr int kBits = decltype(bits)::value;
      if (has_whole_chunks<kBits>(product.weight) &&
          is_aligned<T>({product.x}, {product.weight.in_features})) {
        return launch_chunks<T, kBits>(product, stream);
      }
      const dim3 grid(ceil_div(product.weight.num_rows, kWarps));
      for (int64_t row = 0; row < product.num_rows; ++row) {
        launch(multiply_weights<T, kBits>, grid, dim3(kWarp, kWarps), stream, product, row);
      }
    });
  });
}

}  // namespace prepack::cuda
