#include "weights/packed_format.h"

#include "kernels/weight_rows.h"

namespace prepack {

PackedFormat PackedFormat::of(const Quantization& quantization, int64_t in_features) {
  const auto used = quantization.for_rows_of(in_features);
  if (used.bits == 8) return {};
  return {.bits = 4,
          .group_size = used.group_size,
          .scale_dtype = DType::kFloat16,
          .has_minimums = true};
}

PackedFormat PackedFormat::for_kernels() const {
  if (group_size == 0) return *this;
  auto format = *this;
  format.group_size = bits == 8 ? kMinInt8Group : kMinInt4Group;
  while (group_size % (2 * format.group_size) == 0) format.group_size *= 2;
  return format;
}

int64_t PackedFormat::num_groups(int64_t in_features) const {
  return group_size == 0 ? 1 : in_features / group_size;
}

int64_t PackedFormat::row_bytes(int64_t in_features) const {
  return bits == 8 ? in_features : int4_row_bytes(in_features);
}

int64_t PackedFormat::bytes(int64_t out_features, int64_t in_features) const {
  const int64_t scale_bytes = (has_minimums ? 2 : 1) * element_size(scale_dtype);
  return out_features * (row_bytes(in_features) + num_groups(in_features) * scale_bytes);
}

}  // namespace prepack
