#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/weight_rows.h"
#include "prepack/quantization.h"

namespace prepack {

/// The weight of a product in 8 or 4 bits, on the CPU.
struct QuantizedWeight {
  Quantization quantization;
  int64_t in_features = 0;
  at::Tensor values;  // 8 bits: [out_features, in_features] int8, each times its row's scale;
                      // 4 bits: [out_features, int4_row_bytes(in_features)] uint8, see Int4Rows
  at::Tensor scales;  // 8 bits: [out_features] float32; 4 bits: [out_features, num_groups] float16
  at::Tensor minimums;  // 4 bits: likewise; 8 bits: undefined

  /// Memory for a weight, not filled. Rows that are not whole groups get 8 bits.
  static QuantizedWeight make_empty(int64_t out_features, int64_t in_features,
                                    const Quantization& quantization);

  int64_t out_features() const { return values.size(0); }

  /// Rounds `weights` to the rows from `first_row` on, shared among the threads.
  /// @param weights  [num_rows, in_features] float32, bfloat16 or float16, contiguous
  /// @return whether they are all finite; where they are not, the rows mean nothing
  bool quantize_rows(int64_t first_row, const at::Tensor& weights);

  /// Some of the rows; shares the memory of this one.
  QuantizedWeight narrow(int64_t first, int64_t count) const;

  /// What the products see; valid as long as this is.
  WeightRows rows() const;

  /// [out_features, in_features] float32: the weights that products multiply with, but for the
  /// order in which few rows apply their scales.
  at::Tensor dequantize() const;

  int64_t nbytes() const;
};

}  // namespace prepack
