#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <variant>

#include "kernels/weight_rows.h"
#include "prepack/quantization.h"
#include "weights/blocked_weight.h"
#include "weights/packed_format.h"

namespace prepack {

/// The weight of a product in 8 or 4 bits. It is filled on the CPU, and reads its own numbers
/// there.
struct QuantizedWeight {
  PackedFormat format;
  int64_t in_features = 0;
  at::Tensor values;    // 8 bits: [out_features, in_features] int8;
                        // 4 bits: [out_features, int4_row_bytes(in_features)] uint8, see Int4Rows
  at::Tensor scales;    // [out_features, num_groups] of the format's dtype
  at::Tensor minimums;  // likewise; undefined where there are none
  Activations activations = Activations::kAsComputed;  // that products multiply it with

  /// Memory for a weight, not filled.
  /// @param format  whose groups divide in_features; they become those that the kernels take
  static QuantizedWeight make_empty(int64_t out_features, int64_t in_features,
                                    const PackedFormat& format);

  /// The same for `quantize_rows`. Rows that are not whole groups get 8 bits.
  static QuantizedWeight make_empty(int64_t out_features, int64_t in_features,
                                    const Quantization& quantization) {
    return make_empty(out_features, in_features, PackedFormat::of(quantization, in_features));
  }

  int64_t out_features() const { return values.size(0); }

  /// Rounds `weights` to the rows from `first_row` on, shared among the threads. In the formats of
  /// a Quantization only.
  /// @param weights  [num_rows, in_features] float32, bfloat16 or float16, contiguous
  /// @return whether they are all finite; where they are not, the rows mean nothing
  bool quantize_rows(int64_t first_row, const at::Tensor& weights);

  /// One row of numbers that were quantized before. Threads may set different rows at once.
  /// @param values            [in_features]; of 4 bits 0 to 15
  /// @param scales, minimums  [num_groups]; null for no minimums
  /// @param num_groups        of the row, which are the weight's or larger
  /// @return whether all scales and minimums are finite, and the format's dtype holds them exactly
  bool set_row(int64_t row, const int8_t* values, const float* scales, const float* minimums,
               int64_t num_groups);

  /// Rows from `first_row` on, shared among the threads.
  /// @param values            [num_rows, in_features] int8, or uint8 of at most 127
  /// @param scales, minimums  [num_rows, num_groups] of any floating dtype, as above; an undefined
  ///                          tensor for no minimums
  /// @return as above, of all rows
  bool set_rows(int64_t first_row, const at::Tensor& values, const at::Tensor& scales,
                const at::Tensor& minimums = {});

  /// A copy on that device, for its products; on the CPU this one.
  QuantizedWeight to(at::Device device) const;

  /// Some of the rows; shares the memory of this one.
  QuantizedWeight narrow(int64_t first, int64_t count) const;

  /// What the products see; valid as long as this is.
  WeightRows rows() const;

  /// Rows of an embedding table.
  /// @param ids  [num_ids] int64, in order and repeated as they please
  /// @return     [num_ids, in_features] float32
  at::Tensor gather(const at::Tensor& ids) const;

  /// [out_features, in_features] float32: the weights that products multiply with, but for the
  /// order in which few rows apply their scales.
  at::Tensor dequantize() const;

  int64_t nbytes() const;
};

/// The weight of a product: in float32, bfloat16 or float16, [out_features, in_features];
/// quantized; or in oneDNN's layout.
using Weight = std::variant<at::Tensor, QuantizedWeight, BlockedWeight>;

}  // namespace prepack
