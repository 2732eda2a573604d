#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {
namespace {

template <typename T, int kWidth>
__global__ void activate(SwigluRows rows) {
  const int64_t num_packs = rows.size / kWidth;  // of a row
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= rows.num_tokens * num_packs) return;
  const int64_t token = n / num_packs;
  const int64_t i = n % num_packs * kWidth;
  const T* gates = static_cast<const T*>(rows.gate_up) + token * 2 * rows.size;
  auto gate = load<kWidth>(gates + i);
  const auto up = load<kWidth>(gates + rows.size + i);
  for (int k = 0; k < kWidth; ++k) {
    const float x = to_float(gate.values[k]);
    // Where exp overflows, the quotient is 0, which silu is there.
    from_float(x / (1 + expf(-x)) * to_float(up.values[k]), gate.values[k]);
  }
  store(gate, static_cast<T*>(rows.out) + token * rows.size + i);
}

}  // namespace

void swiglu(const SwigluRows& rows, Stream stream) {
  if (rows.num_tokens * rows.size == 0) return;
  constexpr int kThreads = 256;
  with_type(rows.dtype, [&](auto number) {
    using T = decltype(number);
    const auto launch_packs = [&](auto* kernel, int width) {
      const int64_t num_packs = rows.num_tokens * (rows.size / width);
      launch(kernel, dim3(ceil_div(num_packs, kThreads)), dim3(kThreads), stream, rows);
    };
    if (is_aligned<T>({rows.gate_up, rows.out}, {rows.size})) {
      launch_packs(activate<T, kWide<T>>, kWide<T>);
    } else {
      launch_packs(activate<T, 1>, 1);
    }
  });
}

}  // namespace prepack::cuda
