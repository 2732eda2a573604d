#pragma once

#include <cstdint>

#include "prepack/dtype.h"

struct CUstream_st;

namespace prepack::cuda {

// The GPU's own loops, on plain device memory: started on a stream, nothing is waited for. Strides
// count elements. Each is compiled by nvcc for GPUs, and by the tests as C++ for the CPU.

using Stream = CUstream_st*;  // cudaStream_t

/// Root-mean-square norm of rows, num_heads of which lie together: row h of token t is at
/// t * stride + h * size. In place too. Computed in float32.
struct RmsNormRows {
  DType dtype;
  const void* input;
  const void* weight;  // [size]
  void* out;
  float eps;
  int64_t num_tokens;
  int64_t num_heads;
  int64_t size;
  int64_t input_stride;
  int64_t out_stride;
};
void rms_norm(const RmsNormRows& rows, Stream stream);

/// Turns queries and keys by their positions, in place, and copies keys and values to the cache.
/// Of each token there are num_query_heads, num_kv_heads keys and as many values, one behind the
/// other.
struct RopeAndStore {
  DType dtype;
  void* heads;  // [num_tokens, num_query_heads + 2 * num_kv_heads, head_dim]
  int64_t stride;
  int64_t num_tokens;
  int64_t num_query_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  const float* cos;      // [num_tokens, half]
  const float* sin;      // [num_tokens, half]
  int64_t half;          // pairs of each head that are turned; 0: none
  const int64_t* slots;  // [num_tokens], below 0: not stored; null: nothing is stored
  void* key_cache;       // [num_slots, num_kv_heads, head_dim]
  void* value_cache;     // [num_slots, num_kv_heads, head_dim]
};
void rope_and_store(const RopeAndStore& tokens, Stream stream);

/// out = silu(gate) * up, computed in float32.
struct SwigluRows {
  DType dtype;
  const void* gate_up;  // [num_tokens, 2 * size]
  void* out;            // [num_tokens, size]
  int64_t num_tokens;
  int64_t size;
};
void swiglu(const SwigluRows& rows, Stream stream);

/// How the token of one row is drawn; as SamplingParams.
struct RowSampling {
  double uniform;  // the random number, in [0, 1); not read where temperature is 0
  float temperature;
  float top_p;
  float min_p;
  int32_t top_k;
};

/// Draws a token for each row of logits, as Sampler does: the steps in its order, and of the tokens
/// that are left, counted by their ids, the one in which `uniform` of their probability ends.
struct SampleRows {
  const float* logits;  // [num_rows, vocab_size]
  int64_t num_rows;
  int64_t vocab_size;
  const RowSampling* sampling;  // [num_rows]
  int64_t* tokens;              // [num_rows]; -1 where the logits are not finite numbers
};
void sample(const SampleRows& rows, Stream stream);

}  // namespace prepack::cuda
