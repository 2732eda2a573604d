#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {
namespace {

/// A token to each block. Heads are in the order queries, keys, values.
template <typename T, int kWidth>
__global__ void turn_and_store(RopeAndStore tokens) {
  const int64_t token = blockIdx.x;
  const int num_query_heads = static_cast<int>(tokens.num_query_heads);
  const int num_kv_heads = static_cast<int>(tokens.num_kv_heads);
  const int head_dim = static_cast<int>(tokens.head_dim);
  const int half = static_cast<int>(tokens.half);
  T* heads = static_cast<T*>(tokens.heads) + token * tokens.stride;
  const int64_t slot = tokens.slots == nullptr ? -1 : tokens.slots[token];
  T* stored_keys = static_cast<T*>(tokens.key_cache) + slot * num_kv_heads * head_dim;
  T* stored_values = static_cast<T*>(tokens.value_cache) + slot * num_kv_heads * head_dim;

  // Dimension i of a head is paired with i + half.
  const int num_packs = half / kWidth;
  for (int n = threadIdx.x; n < (num_query_heads + num_kv_heads) * num_packs; n += blockDim.x) {
    const int head = n / num_packs;
    const int i = n % num_packs * kWidth;
    T* place = heads + head * head_dim + i;
    auto first = load<kWidth>(place);
    auto second = load<kWidth>(place + half);
    const auto cos = load<kWidth>(tokens.cos + token * half + i);
    const auto sin = load<kWidth>(tokens.sin + token * half + i);
    for (int k = 0; k < kWidth; ++k) {
      const float x = to_float(first.values[k]);
      const float y = to_float(second.values[k]);
      from_float(x * cos.values[k] - y * sin.values[k], first.values[k]);
      from_float(y * cos.values[k] + x * sin.values[k], second.values[k]);
    }
    store(first, place);
    store(second, place + half);
    if (head >= num_query_heads && slot >= 0) {
      T* stored = stored_keys + (head - num_query_heads) * head_dim + i;
      store(first, stored);
      store(second, stored + half);
    }
  }
  if (slot < 0) return;

  const T* keys = heads + num_query_heads * head_dim;
  const int num_rest = (head_dim - 2 * half) / kWidth;  // of a key: packs that are not turned
  for (int n = threadIdx.x; n < num_kv_heads * num_rest; n += blockDim.x) {
    const int i = n / num_rest * head_dim + 2 * half + n % num_rest * kWidth;
    store(load<kWidth>(keys + i), stored_keys + i);
  }
  const T* values = keys + num_kv_heads * head_dim;
  for (int i = threadIdx.x * kWidth; i < num_kv_heads * head_dim; i += blockDim.x * kWidth) {
    store(load<kWidth>(values + i), stored_values + i);
  }
}

}  // namespace

void rope_and_store(const RopeAndStore& tokens, Stream stream) {
  if (tokens.num_tokens == 0) return;
  constexpr int kThreads = 128;
  with_type(tokens.dtype, [&](auto number) {
    using T = decltype(number);
    const dim3 grid(tokens.num_tokens);
    if (is_aligned<T>({tokens.heads, tokens.cos, tokens.sin, tokens.key_cache, tokens.value_cache},
                      {tokens.stride, tokens.head_dim, tokens.half})) {
      launch(turn_and_store<T, kWide<T>>, grid, dim3(kThreads), stream, tokens);
    } else {
      launch(turn_and_store<T, 1>, grid, dim3(kThreads), stream, tokens);
    }
  });
}

}  // namespace prepack::cuda
