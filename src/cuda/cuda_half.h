#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuda/kernels.h"

namespace at {
class Tensor;
}

namespace prepack {

/// Work that a GPU was given once and does again, on the same memory, when it is told to.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  virtual void replay() = 0;
};

/// What the library asks of CUDA, as a table of functions, because it is not linked to CUDA: the
/// table is in a shared library of its own, libprepack_cuda, that is loaded when a GPU is used.
struct CudaHalf {
  size_t size;  // of this struct: a library of another build is not taken
  int (*device_count)();
  std::string (*device_name)(c10::DeviceIndex device);  // "NVIDIA H200"
  void (*synchronize)(c10::DeviceIndex device);
  int64_t (*free_memory)(c10::DeviceIndex device);
  int64_t (*peak_memory)(c10::DeviceIndex device);  // bytes of tensors since the last reset
  void (*reset_peak_memory)(c10::DeviceIndex device);
  double (*utilisation)(c10::DeviceIndex device);  // percent, from NVML; -1: not known

  // Kernels of the project's own, on tensors of one device and dtype: float32, bfloat16 or float16.
  // They are started on its current stream; but for `sample`, nothing is waited for.

  /// @param heads, out  [num_tokens, num_heads, size], each token's heads together; may be the same
  void (*rms_norm)(const at::Tensor& heads, const at::Tensor& weight, double eps,
                   const at::Tensor& out);

  /// Turns queries and keys in place, and copies keys and values to their slots of the cache.
  /// @param heads  [num_tokens, num_query_heads + 2 * num_kv_heads, head_dim], together
  /// @param cos, sin  [num_tokens, rotary_dim / 2] float32; undefined: nothing is turned
  /// @param slots     [num_tokens] int64, below 0: not stored; undefined: nothing is stored
  /// @param keys, values  [num_slots, num_kv_heads, head_dim]
  void (*rope_and_store)(const at::Tensor& heads, int64_t num_query_heads, const at::Tensor& cos,
                         const at::Tensor& sin, const at::Tensor& slots, const at::Tensor& keys,
                         const at::Tensor& values);

  /// @param gate_up  [num_tokens, 2 * size]
  /// @param out      [num_tokens, size]
  void (*swiglu)(const at::Tensor& gate_up, const at::Tensor& out);

  // Products with quantized weights, on memory of `device`.
  void (*widen_rows)(const cuda::QuantizedRows& rows, DType dtype, void* out,
                     c10::DeviceIndex device);
  void (*multiply_few_rows)(const cuda::QuantizedProduct& product, c10::DeviceIndex device);
  void (*round_rows)(const cuda::RoundedRows& rows, c10::DeviceIndex device);
  void (*scale_sums)(const cuda::ScaledSums& sums, c10::DeviceIndex device);

  /// @param logits  [num_rows, vocab_size] float32
  /// @return the drawn tokens, -1 where the logits are not finite numbers
  std::vector<int64_t> (*sample)(const at::Tensor& logits,
                                 std::span<const cuda::RowSampling> sampling);

  /// Records what `run` gives to the device, which does not run it yet. It must neither wait for
  /// the device nor read its results. Throws where that fails, with nothing left of it.
  /// @param sharing  another graph, whose memory this one may use too: they never run at the same
  ///                 time, and what one leaves is read before the other runs; null: none
  std::unique_ptr<DeviceGraph> (*capture)(c10::DeviceIndex device, const DeviceGraph* sharing,
                                          const std::function<void()>& run);
};

/// Loads libprepack_cuda, once. nullptr where it was not built, or there is no CUDA driver.
const CudaHalf* load_cuda_half();

/// Why that gave nullptr.
std::string no_cuda_reason();

/// The same where there is a tensor on a GPU already.
/// @throws InvalidArgument where it cannot be loaded
const CudaHalf& cuda_half();

}  // namespace prepack
