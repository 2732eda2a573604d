#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "prepack/checkpoint_quantization.h"
#include "weights/tensor_info.h"

namespace prepack {

/// The tensors of one packed weight [out_features, in_features], as its folder stores them. A word
/// of qweight and qzeros packs num_packed integers, 32 / bits.
struct WordPackedWeight {
  at::Tensor qweight;  // int32; GPTQ: [in_features / num_packed, out_features],
                       // AWQ: [in_features, out_features / num_packed]
  at::Tensor qzeros;   // [num_groups, out_features / num_packed] int32
  at::Tensor scales;   // [num_groups, out_features] float16 or bfloat16
  at::Tensor g_idx;    // [in_features] int32: the group of each; undefined: one after the other
};

/// What a packed weight's tensors are called, behind the projection's name, and what they hold.
struct WordPackedTensor {
  std::string suffix;  // ".qweight"
  std::vector<int64_t> shape;
  std::vector<StoredDType> dtypes;  // any of these
  bool is_required = true;
};

/// Whether a weight's rows and columns are whole words.
bool fits_words(const CheckpointQuantization& quantization, int64_t out_features,
                int64_t in_features);

/// Those of WordPackedWeight, in its order; of AWQ there is no g_idx.
std::vector<WordPackedTensor> word_packed_tensors(const CheckpointQuantization& quantization,
                                                  int64_t out_features, int64_t in_features);

/// An order of columns in which a product's groups are whole: as desc_act needs it.
struct ColumnGroups {
  at::Tensor order;    // [in_features] int64: the input feature of each column; undefined: in order
  int64_t group_size;  // columns that share a scale and a zero: 128, 64 or 32
};

/// The integers of a packed weight, by rows: weight = scale * (value - zero).
struct UnpackedWeight {
  at::Tensor values;            // [out_features, in_features] uint8
  at::Tensor scales;            // [out_features, num_groups] float32
  at::Tensor zeros;             // [out_features, num_groups] uint8
  std::vector<int64_t> groups;  // [in_features]: the group of each

  /// [out_features, in_features] float32. Nothing is rounded: a scale has 11 significant bits at
  /// most, and the difference of two integers 9.
  at::Tensor dequantize() const;

  /// [in_features / columns.group_size] int64: which of its groups those of the order are.
  at::Tensor groups_of(const ColumnGroups& columns) const;
};

/// @throws LoadError for a g_idx that names a group there is none of
UnpackedWeight unpack(const CheckpointQuantization& quantization, const WordPackedWeight& packed);

/// The group of each input feature.
/// @throws LoadError as `unpack` does
std::vector<int64_t> read_groups(const CheckpointQuantization& quantization, int64_t in_features,
                                 const at::Tensor& g_idx);

/// The order of weights that one product stacks, whose input can have only one: that of the first.
/// @param groups  of each of them, [in_features]
/// @return nullopt where there is none in which every 32 columns are of one group in all weights
std::optional<ColumnGroups> find_column_groups(std::span<const std::vector<int64_t>> groups);

}  // namespace prepack
