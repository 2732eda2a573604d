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

/// A weight of 8 or 4 bits, as Int8Rows, Int8GroupRows and Int4Rows have it:
/// weight = scale * value, or scale * value + minimum.
struct QuantizedRows {
  int bits;
  const void* values;  // rows of row_bytes
  int64_t row_bytes;
  DType scale_dtype;     // of scales and minimums: float32 or float16
  const void* scales;    // [num_rows, num_groups]
  const void* minimums;  // likewise; null for none
  int64_t num_groups;
  int group_shift;  // weight i of a row is of group i >> group_shift
  int64_t num_rows;
  int64_t in_features;
};

/// The weights in `dtype`.
/// @param out  [num_rows, in_features]
void widen_rows(const QuantizedRows& rows, DType dtype, void* out, Stream stream);

/// x * weight^T + bias for a few rows x, computed in float32 with weights that are unpacked as they
/// are read, once for 8 rows.
struct QuantizedProduct {
  DType dtype;
  const void* x;  // [num_rows, in_features]
  QuantizedRows weight;
  const void* bias;  // [out_features]; null for none
  void* out;         // [num_rows, out_features], with rows out_stride apart
  int64_t num_rows;
  int64_t out_stride;
  bool adds_to_out;  // or overwrites it
};
void multiply_few_rows(const QuantizedProduct& product, Stream stream);

/// Rows rounded to 8 bits: x is about scale * value, with values from -127 to 127. The scale of a
/// row with a number that is not finite is NaN.
struct RoundedRows {
  DType dtype;     // of x
  const void* x;   // [num_rows, size]
  int8_t* values;  // [num_rows, size]
  float* scales;   // [num_rows]
  int64_t num_rows;
  int64_t size;
};
void round_rows(const RoundedRows& rows, Stream stream);

/// out = row_scale * weight_scale * sum + bias, or out += that: what is left to do behind a product
/// of integers.
struct ScaledSums {
  DType dtype;                 // of bias and out
  const int32_t* sums;         // [num_rows, num_features]
  const float* row_scales;     // [num_rows]
  const float* weight_scales;  // [num_features]
  const void* bias;            // [num_features]; null for none
  void* out;                   // [num_rows, num_features], with rows out_stride apart
  int64_t num_rows;
  int64_t num_features;
  int64_t out_stride;
  bool adds_to_out;  // or overwrites it
};
void scale_sums(const ScaledSums& sums, Stream stream);

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
