#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {

/// Weights of a row that lie in 16 bytes.
template <int kBits>
constexpr int kChunk = 128 / kBits;

constexpr int kTogether = 8;  // weights that are unpacked at a time

using Words = Pack<uint32_t, 4>;  // a chunk as it is stored

/// weight = scale * value + minimum.
struct Scaling {
  float scale;
  float minimum;
};

__device__ inline float number_at(const QuantizedRows& rows, const void* numbers, int64_t i) {
  return rows.scale_dtype == DType::kFloat32 ? static_cast<const float*>(numbers)[i]
                                             : __half2float(static_cast<const __half*>(numbers)[i]);
}

/// That of weight i of a row.
__device__ inline Scaling scaling_of(const QuantizedRows& rows, int64_t row, int64_t i) {
  const int64_t group = row * rows.num_groups + (i >> rows.group_shift);
  return {number_at(rows, rows.scales, group),
          rows.minimums == nullptr ? 0 : number_at(rows, rows.minimums, group)};
}

/// The chunk that begins with weight i of a row.
template <int kBits>
__device__ inline Words chunk_at(const QuantizedRows& rows, int64_t row, int64_t i) {
  const auto* bytes = static_cast<const uint8_t*>(rows.values);
  return load<4>(reinterpret_cast<const uint32_t*>(bytes + row * rows.row_bytes + i * kBits / 8));
}

/// The number of these bits of a word, as float32, without a conversion: they become the last bits
/// of 2^23, which is subtracted again together with `middle`. Where `mask` does not begin with the
/// first bit, it is as many times as large.
__device__ inline float number_of(uint32_t word, uint32_t mask, uint32_t middle) {
  constexpr uint32_t kBitsOf2To23 = 0x4b000000;
  const uint32_t bits = (word & mask) | kBitsOf2To23;
  float number;
  memcpy(&number, &bits, sizeof(number));
  return number - static_cast<float>((1u << 23) + middle);
}

/// Weights 8 part to 8 part + 7 of a chunk whose weights share a scale.
template <int kBits>
__device__ inline Pack<float, kTogether> unpack(const Words& chunk, int part,
                                                const Scaling& scaling) {
  Pack<float, kTogether> weights;
  for (int k = 0; k < kTogether; ++k) {
    if constexpr (kBits == 8) {
      // Signed bytes are 0 to 255 with the sign turned round, 128 more than they were.
      const uint32_t word = part == 0 ? chunk.values[k / 4] : chunk.values[2 + k / 4];
      const uint32_t pair = (word ^ 0x80808080u) >> (k % 4 / 2 * 16);
      const int shift = k % 2 * 8;
      const float number = number_of(pair, 0xffu << shift, 128u << shift);
      weights.values[k] = fmaf(number, scaling.scale / (1 << shift), scaling.minimum);
    } else {
      const uint32_t word = chunk.values[k / 2] >> (k % 2 * 16);
      const int shift = 4 * part;
      const float number = number_of(word, 0xfu << shift, 0);
      weights.values[k] = fmaf(number, scaling.scale / (1 << shift), scaling.minimum);
    }
  }
  return weights;
}

/// Weight i of a row, wherever it lies.
template <int kBits>
__device__ inline float weight_at(const QuantizedRows& rows, int64_t row, int64_t i) {
  const auto* bytes = static_cast<const uint8_t*>(rows.values) + row * rows.row_bytes;
  const Scaling scaling = scaling_of(rows, row, i);
  int value;
  if constexpr (kBits == 8) {
    value = static_cast<int8_t>(bytes[i]);
  } else {
    constexpr int64_t kBlock = kChunk<4>;
    const int64_t in_block = i % kBlock;
    const int64_t nibble = in_block / kTogether;
    const int64_t byte = i / kBlock * (kBlock / 2) + in_block % kTogether * 2 + nibble / 2;
    value = bytes[byte] >> (nibble % 2 * 4) & 0xf;
  }
  return fmaf(static_cast<float>(value), scaling.scale, scaling.minimum);
}

/// Whether rows are whole chunks at addresses that accesses of 16 bytes take.
template <int kBits>
bool has_whole_chunks(const QuantizedRows& rows) {
  return reinterpret_cast<uintptr_t>(rows.values) % 16 == 0 && rows.row_bytes % 16 == 0 &&
         rows.in_features % kChunk<kBits> == 0;
}

/// Calls f with the weights' bits as a constant.
template <typename F>
void with_bits(const QuantizedRows& rows, const F& f) {
  rows.bits == 8 ? f(std::integral_constant<int, 8>()) : f(std::integral_constant<int, 4>());
}

}  // namespace prepack::cuda
