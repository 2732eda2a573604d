#include "weights/dequantize.h"

#include "weights/quantized_blocks.h"

// This file is compiled without fused multiply-add, whose single rounding gives other bits.

namespace prepack {

void dequantize(StoredDType dtype, const std::byte* blocks, uint64_t num_blocks, float* out) {
  constexpr int64_t kMaxElements = 256;  // of a block
  constexpr int64_t kMaxGroups = 16;
  int8_t values[kMaxElements];
  float scales[kMaxGroups];
  float minimums[kMaxGroups];
  const auto [num_elements, num_bytes] = block_of(dtype);
  const auto format = stored_format(dtype);
  const auto num_groups = static_cast<int64_t>(num_elements) / format.group_size;
  for (uint64_t block = 0; block < num_blocks; ++block) {
    take_apart(dtype, blocks + block * num_bytes, 1, values, scales, minimums);
    const int8_t* value = values;
    for (int64_t group = 0; group < num_groups; ++group) {
      for (int64_t i = 0; i < format.group_size; ++i) {
        *out = scales[group] * static_cast<float>(*value++);
        if (format.has_minimums) *out += minimums[group];
        ++out;
      }
    }
  }
}

}  // namespace prepack
