#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "prepack/checkpoint_quantization.h"
#include "weights/checkpoint.h"
#include "weights/quantized_weight.h"

namespace prepack {

/// One of the weights that a product stacks, as a GPTQ or AWQ folder holds it: packed in words, or
/// plain where quantizing left it out.
struct WordPackedPart {
  std::string name;  // of the projection: "model.layers.0.self_attn.q_proj"
  int64_t num_rows;
  const StoredTensor* plain = nullptr;  // instead of the others
  const StoredTensor* qweight = nullptr;
  const StoredTensor* qzeros = nullptr;
  const StoredTensor* scales = nullptr;
  const StoredTensor* g_idx = nullptr;  // may be absent
};

/// The weight of a product, and the order of its columns; nullopt: they are in order.
struct WordPackedProduct {
  Weight weight;
  std::optional<at::Tensor> input_order;  // [in_features] int64
};

/// Loads the parts one below the other, and one after the other: memory never holds more than one
/// of them unpacked. They stay packed, in values, scales and minimums that stand for the same
/// weights exactly; where they cannot, they are widened: on the CPU to float32, eight times as
/// large as 4 bits, elsewhere to `dtype`.
/// @throws LoadError naming a g_idx that is wrong
WordPackedProduct load_word_packed(const CheckpointQuantization& quantization,
                                   const std::vector<WordPackedPart>& parts, int64_t num_columns,
                                   at::ScalarType dtype, at::Device device);

/// What `load_word_packed` keeps packed values in; nullopt if it widens them.
/// @throws LoadError as it does
std::optional<PackedFormat> word_packed_format(const CheckpointQuantization& quantization,
                                               const std::vector<WordPackedPart>& parts,
                                               int64_t num_columns);

/// Bytes of what `load_word_packed` returns.
/// @throws LoadError as it does
int64_t word_packed_bytes(const CheckpointQuantization& quantization,
                          const std::vector<WordPackedPart>& parts, int64_t num_columns,
                          at::ScalarType dtype, at::Device device);

}  // namespace prepack
