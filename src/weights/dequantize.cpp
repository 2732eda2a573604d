#include "weights/dequantize.h"

#include <array>
#include <bit>

// This file is compiled without fused multiply-add, whose single rounding gives other bits.

namespace prepack {
namespace {

constexpr int kSmall = 32;   // elements of a block of Q4_0 to Q8_0
constexpr int kLarge = 256;  // of a block of the K types
constexpr int kPart = 32;    // of a part of Q4_K and Q5_K
constexpr int kNumParts = kLarge / kPart;

float widen_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1F;
  const uint32_t fraction = half & 0x3FF;
  if (exponent == 0) {  // zero, or a denormal: a multiple of 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 0x1F ? 0xFF : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide_exponent << 23 | fraction << 13);
}

float half_at(const uint8_t* bytes) {
  return widen_half(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
}

float low_nibble(uint8_t byte) { return static_cast<float>(byte & 0x0F); }
float high_nibble(uint8_t byte) { return static_cast<float>(byte >> 4); }

/// scale[2] quants[16]: element i in the low half of byte i, element 16 + i in the high one.
void widen_q4_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  const uint8_t* quants = block + 2;
  for (int i = 0; i < kSmall / 2; ++i) {
    out[i] = scale * (low_nibble(quants[i]) - 8);
    out[i + kSmall / 2] = scale * (high_nibble(quants[i]) - 8);
  }
}

/// scale[2] minimum[2] quants[16]
void widen_q4_1(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  const float minimum = half_at(block + 2);
  const uint8_t* quants = block + 4;
  for (int i = 0; i < kSmall / 2; ++i) {
    out[i] = scale * low_nibble(quants[i]) + minimum;
    out[i + kSmall / 2] = scale * high_nibble(quants[i]) + minimum;
  }
}

/// The 32 elements of Q5_0 and Q5_1: bit i of four bytes is the fifth bit of element i.
std::array<float, kSmall> five_bit_quants(const uint8_t* fifth_bits, const uint8_t* quants) {
  uint32_t bits = 0;
  for (int byte = 0; byte < 4; ++byte)
    bits |= static_cast<uint32_t>(fifth_bits[byte]) << (8 * byte);
  std::array<float, kSmall> result;
  for (int i = 0; i < kSmall / 2; ++i) {
    result[i] = static_cast<float>((quants[i] & 0x0F) | (bits >> i & 1) << 4);
    result[i + kSmall / 2] =
        static_cast<float>(quants[i] >> 4 | (bits >> (i + kSmall / 2) & 1) << 4);
  }
  return result;
}

/// scale[2] fifth bits[4] quants[16]
void widen_q5_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  const auto quants = five_bit_quants(block + 2, block + 6);
  for (int i = 0; i < kSmall; ++i) out[i] = scale * (quants[i] - 16);
}

/// scale[2] minimum[2] fifth bits[4] quants[16]
void widen_q5_1(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  const float minimum = half_at(block + 2);
  const auto quants = five_bit_quants(block + 4, block + 8);
  for (int i = 0; i < kSmall; ++i) out[i] = scale * quants[i] + minimum;
}

/// scale[2] quants[32], signed
void widen_q8_0(const uint8_t* block, float* out) {
  const float scale = half_at(block);
  for (int i = 0; i < kSmall; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
  }
}

/// What Q4_K and Q5_K begin with: scale[2] minimum[2], and twelve bytes of a 6-bit scale and a
/// 6-bit minimum for each part. Those of parts 0 to 3 are the lower bits of bytes 0 to 3 and 4 to
/// 7; of parts 4 to 7 the lower four bits are in bytes 8 to 11, the upper two above the first ones.
struct PartScales {
  std::array<float, kNumParts> scale;
  std::array<float, kNumParts> minimum;
};
constexpr int kPartScalesBytes = 16;

PartScales read_part_scales(const uint8_t* block) {
  const float scale = half_at(block);
  const float minimum = half_at(block + 2);
  const uint8_t* packed = block + 4;
  PartScales result;
  for (int i = 0; i < 4; ++i) {
    const int scale_0 = packed[i] & 0x3F;
    const int minimum_0 = packed[i + 4] & 0x3F;
    const int scale_4 = (packed[i + 8] & 0x0F) | (packed[i] >> 2 & 0x30);
    const int minimum_4 = packed[i + 8] >> 4 | (packed[i + 4] >> 2 & 0x30);
    result.scale[i] = scale * static_cast<float>(scale_0);
    result.minimum[i] = minimum * static_cast<float>(minimum_0);
    result.scale[i + 4] = scale * static_cast<float>(scale_4);
    result.minimum[i + 4] = minimum * static_cast<float>(minimum_4);
  }
  return result;
}

/// part scales[16] quants[128]: of every 32 bytes the low halves are a part, the high ones the
/// next.
void widen_q4_k(const uint8_t* block, float* out) {
  const auto parts = read_part_scales(block);
  for (int part = 0; part < kNumParts; ++part) {
    const uint8_t* quants = block + kPartScalesBytes + part / 2 * kPart;
    const int shift = part % 2 * 4;
    for (int i = 0; i < kPart; ++i) {
      const auto quant = static_cast<float>(quants[i] >> shift & 0x0F);
      *out++ = parts.scale[part] * quant - parts.minimum[part];
    }
  }
}

/// part scales[16] fifth bits[32] quants[128]: bit p of byte i is that of element i of part p.
void widen_q5_k(const uint8_t* block, float* out) {
  const auto parts = read_part_scales(block);
  const uint8_t* fifth_bits = block + kPartScalesBytes;
  for (int part = 0; part < kNumParts; ++part) {
    const uint8_t* quants = fifth_bits + kPart + part / 2 * kPart;
    const int shift = part % 2 * 4;
    for (int i = 0; i < kPart; ++i) {
      const int fifth = (fifth_bits[i] >> part & 1) << 4;
      const auto quant = static_cast<float>((quants[i] >> shift & 0x0F) | fifth);
      *out++ = parts.scale[part] * quant - parts.minimum[part];
    }
  }
}

/// low bits[128] high bits[64] scales[16], signed, one for 16 elements, scale[2]. Each half of the
/// block is 64 bytes of low bits and 32 of high ones: its four runs of 32 elements take the low
/// halves of the first and the second 32 bytes, then the high halves; and two of the high bits
/// each.
void widen_q6_k(const uint8_t* block, float* out) {
  const uint8_t* low_bits = block;
  const uint8_t* high_bits = block + 128;
  const uint8_t* scales = block + 192;
  const float scale = half_at(block + 208);
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4;
    const int place = run % 4;
    const uint8_t* low = low_bits + half * 64 + place % 2 * 32;
    const uint8_t* high = high_bits + half * 32;
    for (int i = 0; i < 32; ++i) {
      const int quant = (low[i] >> (place / 2 * 4) & 0x0F) | (high[i] >> (place * 2) & 3) << 4;
      const auto own_scale = static_cast<float>(static_cast<int8_t>(scales[run * 2 + i / 16]));
      *out++ = (scale * own_scale) * static_cast<float>(quant - 32);
    }
  }
}

template <auto kWidenBlock>
void widen_blocks(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, float* out) {
  const auto [num_elements, num_bytes] = block_of(dtype);
  const auto* bytes = reinterpret_cast<const uint8_t*>(blocks);
  for (uint64_t i = 0; i < num_blocks; ++i) {
    kWidenBlock(bytes + i * num_bytes, out + i * num_elements);
  }
}

}  // namespace

void dequantize(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, float* out) {
  switch (dtype) {
    case StoredDType::kQ4_0:
      return widen_blocks<widen_q4_0>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ4_1:
      return widen_blocks<widen_q4_1>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ5_0:
      return widen_blocks<widen_q5_0>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ5_1:
      return widen_blocks<widen_q5_1>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ8_0:
      return widen_blocks<widen_q8_0>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ4_K:
      return widen_blocks<widen_q4_k>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ5_K:
      return widen_blocks<widen_q5_k>(dtype, blocks, num_blocks, out);
    case StoredDType::kQ6_K:
      return widen_blocks<widen_q6_k>(dtype, blocks, num_blocks, out);
    default:
      return;  // not a quantized type
  }
}

}  // namespace prepack
