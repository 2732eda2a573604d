#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "prepack/model_config.h"

namespace prepack {

/// Angle by which each pair of a head's dimensions turns per position, after scaling.
/// @return [head_dim / 2]
std::vector<float> rope_frequencies(const RopeConfig& config, int64_t head_dim);

/// Cosines and sines of one forward's positions, shared by all layers.
struct RopeTable {
  at::Tensor cos;  // [num_tokens, head_dim / 2] float32
  at::Tensor sin;  // [num_tokens, head_dim / 2] float32

  /// Of some of the tokens. @param tokens  [num_chosen] int64
  RopeTable of_tokens(const at::Tensor& tokens) const;
};

/// Rotary position embedding, with dimension i of a head paired with i + head_dim / 2.
/// Ref: Su et al. (arXiv:2104.09864); transformers apply_rotary_pos_emb.
class Rope {
 public:
  Rope(const RopeConfig& config, int64_t head_dim, at::Device device);

  /// @param position_ids  [num_tokens]
  RopeTable table(const at::Tensor& position_ids) const;

 private:
  at::Tensor frequencies_;  // [head_dim / 2] float32
};

/// Turns every head of every token by its position, in place; computed in float32. Where the table
/// is for fewer dimensions than a head has, those behind them stay as they are.
/// @param heads  [num_tokens, num_heads, head_dim]; the heads of one token must lie together
void apply_rope(const at::Tensor& heads, const RopeTable& table);

}  // namespace prepack
