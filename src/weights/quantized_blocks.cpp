#include "weights/quantized_blocks.h"

#include <algorithm>
#include <bit>

namespace prepack {
namespace {

constexpr int kSmall = 32;   // elements of a block of Q4_0 to Q8_0
constexpr int kLarge = 256;  // of a block of the K types
constexpr int kPart = 32;    // of a part of Q4_K and Q5_K
constexpr int kNumParts = kLarge / kPart;

/// The numbers of one block.
struct Parts {
  int8_t* values;
  float* scales;
  float* minimums;
};

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

/// quants[16]: element i in the low half of byte i, element 16 + i in the high one.
void take_nibbles(const uint8_t* quants, int offset, int8_t* values) {
  for (int i = 0; i < kSmall / 2; ++i) {
    values[i] = static_cast<int8_t>((quants[i] & 0x0F) - offset);
    values[i + kSmall / 2] = static_cast<int8_t>((quants[i] >> 4) - offset);
  }
}

/// scale[2] quants[16]
void take_q4_0(const uint8_t* block, const Parts& parts) {
  parts.scales[0] = half_at(block);
  take_nibbles(block + 2, 8, parts.values);
}

/// scale[2] minimum[2] quants[16]
void take_q4_1(const uint8_t* block, const Parts& parts) {
  parts.scales[0] = half_at(block);
  parts.minimums[0] = half_at(block + 2);
  take_nibbles(block + 4, 0, parts.values);
}

/// Of Q5_0 and Q5_1: bit i of four bytes is the fifth bit of element i.
void take_five_bits(const uint8_t* fifth_bits, const uint8_t* quants, int offset, int8_t* values) {
  uint32_t bits = 0;
  for (int byte = 0; byte < 4; ++byte)
    bits |= static_cast<uint32_t>(fifth_bits[byte]) << (8 * byte);
  take_nibbles(quants, offset, values);
  for (int i = 0; i < kSmall; ++i) {
    values[i] = static_cast<int8_t>(values[i] + static_cast<int>((bits >> i & 1) << 4));
  }
}

/// scale[2] fifth bits[4] quants[16]
void take_q5_0(const uint8_t* block, const Parts& parts) {
  parts.scales[0] = half_at(block);
  take_five_bits(block + 2, block + 6, 16, parts.values);
}

/// scale[2] minimum[2] fifth bits[4] quants[16]
void take_q5_1(const uint8_t* block, const Parts& parts) {
  parts.scales[0] = half_at(block);
  parts.minimums[0] = half_at(block + 2);
  take_five_bits(block + 4, block + 8, 0, parts.values);
}

/// scale[2] quants[32], signed
void take_q8_0(const uint8_t* block, const Parts& parts) {
  parts.scales[0] = half_at(block);
  for (int i = 0; i < kSmall; ++i) parts.values[i] = static_cast<int8_t>(block[2 + i]);
}

/// What Q4_K and Q5_K begin with: scale[2] minimum[2], and twelve bytes of a 6-bit scale and a
/// 6-bit minimum for each part. Those of parts 0 to 3 are the lower bits of bytes 0 to 3 and 4 to
/// 7; of parts 4 to 7 the lower four bits are in bytes 8 to 11, the upper two above the first ones.
constexpr int kPartScalesBytes = 16;

void take_part_scales(const uint8_t* block, const Parts& parts) {
  const float scale = half_at(block);
  const float minimum = -half_at(block + 2);  // it is taken away
  const uint8_t* packed = block + 4;
  for (int i = 0; i < 4; ++i) {
    const int scale_0 = packed[i] & 0x3F;
    const int minimum_0 = packed[i + 4] & 0x3F;
    const int scale_4 = (packed[i + 8] & 0x0F) | (packed[i] >> 2 & 0x30);
    const int minimum_4 = packed[i + 8] >> 4 | (packed[i + 4] >> 2 & 0x30);
    parts.scales[i] = scale * static_cast<float>(scale_0);
    parts.minimums[i] = minimum * static_cast<float>(minimum_0);
    parts.scales[i + 4] = scale * static_cast<float>(scale_4);
    parts.minimums[i + 4] = minimum * static_cast<float>(minimum_4);
  }
}

/// part scales[16] quants[128]: of every 32 bytes the low halves are a part, the high ones the
/// next.
void take_q4_k(const uint8_t* block, const Parts& parts) {
  take_part_scales(block, parts);
  for (int part = 0; part < kNumParts; ++part) {
    const uint8_t* quants = block + kPartScalesBytes + part / 2 * kPart;
    const int shift = part % 2 * 4;
    for (int i = 0; i < kPart; ++i) {
      parts.values[part * kPart + i] = static_cast<int8_t>(quants[i] >> shift & 0x0F);
    }
  }
}

/// part scales[16] fifth bits[32] quants[128]: bit p of byte i is that of element i of part p.
void take_q5_k(const uint8_t* block, const Parts& parts) {
  take_part_scales(block, parts);
  const uint8_t* fifth_bits = block + kPartScalesBytes;
  for (int part = 0; part < kNumParts; ++part) {
    const uint8_t* quants = fifth_bits + kPart + part / 2 * kPart;
    const int shift = part % 2 * 4;
    for (int i = 0; i < kPart; ++i) {
      const int fifth = (fifth_bits[i] >> part & 1) << 4;
      parts.values[part * kPart + i] = static_cast<int8_t>((quants[i] >> shift & 0x0F) | fifth);
    }
  }
}

/// low bits[128] high bits[64] scales[16], signed, one for 16 elements, scale[2]. Each half of the
/// block is 64 bytes of low bits and 32 of high ones: its four runs of 32 elements take the low
/// halves of the first and the second 32 bytes, then the high halves; and two of the high bits
/// each.
void take_q6_k(const uint8_t* block, const Parts& parts) {
  const uint8_t* low_bits = block;
  const uint8_t* high_bits = block + 128;
  const uint8_t* scales = block + 192;
  const float scale = half_at(block + 208);
  for (int i = 0; i < 16; ++i) {
    parts.scales[i] = scale * static_cast<float>(static_cast<int8_t>(scales[i]));
  }
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4;
    const int place = run % 4;
    const uint8_t* low = low_bits + half * 64 + place % 2 * 32;
    const uint8_t* high = high_bits + half * 32;
    for (int i = 0; i < 32; ++i) {
      const int quant = (low[i] >> (place / 2 * 4) & 0x0F) | (high[i] >> (place * 2) & 3) << 4;
      parts.values[run * 32 + i] = static_cast<int8_t>(quant - 32);
    }
  }
}

template <auto kTakeBlock>
void take_blocks(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, Parts parts) {
  const auto [num_elements, num_bytes] = block_of(dtype);
  const auto format = stored_format(dtype);
  const auto num_groups = num_elements / static_cast<uint64_t>(format.group_size);
  const auto* bytes = reinterpret_cast<const uint8_t*>(blocks);
  for (uint64_t i = 0; i < num_blocks; ++i) {
    kTakeBlock(bytes + i * num_bytes, parts);
    parts.values += num_elements;
    parts.scales += num_groups;
    if (format.has_minimums) parts.minimums += num_groups;
  }
}

}  // namespace

PackedFormat stored_format(StoredDType dtype) {
  switch (dtype) {
    case StoredDType::kQ4_0:
      return {4, 32, DType::kFloat16, false};
    case StoredDType::kQ4_1:
      return {4, 32, DType::kFloat16, true};
    case StoredDType::kQ5_0:
    case StoredDType::kQ8_0:
      return {8, 32, DType::kFloat16, false};
    case StoredDType::kQ5_1:
      return {8, 32, DType::kFloat16, true};
    case StoredDType::kQ4_K:
      return {4, 32, DType::kFloat32, true};
    case StoredDType::kQ5_K:
      return {8, 32, DType::kFloat32, true};
    case StoredDType::kQ6_K:
      return {8, 16, DType::kFloat32, false};
    default:
      return {};  // not a quantized type
  }
}

PackedFormat common_format(std::span<const StoredDType> dtypes) {
  auto common = stored_format(dtypes[0]);
  for (const auto dtype : dtypes) {
    const auto format = stored_format(dtype);
    common.bits = std::max(common.bits, format.bits);
    common.group_size = std::min(common.group_size, format.group_size);
    if (format.scale_dtype == DType::kFloat32) common.scale_dtype = DType::kFloat32;
    common.has_minimums = common.has_minimums || format.has_minimums;
  }
  if (common.bits == 4) common.has_minimums = true;
  return common;
}

void take_apart(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, int8_t* values,
                float* scales, float* minimums) {
  const Parts parts{values, scales, minimums};
  switch (dtype) {
    case StoredDType::kQ4_0:
      return take_blocks<take_q4_0>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ4_1:
      return take_blocks<take_q4_1>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ5_0:
      return take_blocks<take_q5_0>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ5_1:
      return take_blocks<take_q5_1>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ8_0:
      return take_blocks<take_q8_0>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ4_K:
      return take_blocks<take_q4_k>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ5_K:
      return take_blocks<take_q5_k>(dtype, blocks, num_blocks, parts);
    case StoredDType::kQ6_K:
      return take_blocks<take_q6_k>(dtype, blocks, num_blocks, parts);
    default:
      return;  // not a quantized type
  }
}

}  // namespace prepack
