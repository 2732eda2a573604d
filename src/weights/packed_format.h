#pragma once

#include <cstdint>

#include "prepack/dtype.h"
#include "prepack/quantization.h"

namespace prepack {

/// How the numbers of a quantized weight are kept in memory, which products unpack as they read
/// them: weight = scale * value, or scale * value + minimum.
struct PackedFormat {
  int bits = 8;            // 8: values from -128 to 127; 4: from 0 to 15, always with minimums
  int64_t group_size = 0;  // input features that share a scale: of 8 bits a multiple of 16, of 4
                           // bits of 32; or 0 for all of a row, of 8 bits without minimums
  DType scale_dtype = DType::kFloat32;  // of scales and minimums; or float16, in groups
  bool has_minimums = false;

  /// What quantizing a weight with rows of this many input features makes.
  static PackedFormat of(const Quantization& quantization, int64_t in_features);

  /// The same numbers in groups that the kernels take: of 16 (8 bits) or 32 (4 bits) times a power
  /// of two, where several may share what one had.
  PackedFormat for_kernels() const;

  /// Whether products multiply such weights with inputs of 8 bits: those have a scale for each 32.
  bool has_int8_products() const { return group_size == 0 || group_size >= 32; }

  /// Scales of a row.
  int64_t num_groups(int64_t in_features) const;

  /// Bytes of the values of a row; of 4 bits they are whole blocks, see Int4Rows.
  int64_t row_bytes(int64_t in_features) const;

  /// Bytes of a weight, with its scales and minimums.
  int64_t bytes(int64_t out_features, int64_t in_features) const;

  bool operator==(const PackedFormat&) const = default;
};

}  // namespace prepack
