#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "prepack/model_config.h"

namespace prepack {

/// Cosines and sines of one forward's positions, shared by all layers. Those of yarn and longrope
/// are multiplied by the attention factor.
struct RopeTable {
  at::Tensor cos;  // [num_tokens, rotary_dim / 2] float32
  at::Tensor sin;  // [num_tokens, rotary_dim / 2] float32

  /// Of some of the tokens. @param tokens  [num_chosen] int64
  RopeTable of_tokens(const at::Tensor& tokens) const;
};

/// Rotary position embedding, with dimension i of a head paired with i + rotary_dim / 2.
/// Ref: Su et al. (arXiv:2104.09864); transformers apply_rotary_pos_emb.
class Rope {
 public:
  Rope(RopeConfig config, int64_t rotary_dim, at::Device device);

  /// @param position_ids   [num_tokens]
  /// @param sequence_lens  [num_tokens] tokens of each token's sequence; not read for the types
  ///                       that do not depend on the length
  /// @throws InvalidArgument if such lengths are needed and there are not as many
  RopeTable table(const at::Tensor& position_ids,
                  std::span<const int64_t> sequence_lens = {}) const;

 private:
  /// [rotary_dim / 2] where all tokens have the same, else [num_tokens, rotary_dim / 2]
  at::Tensor frequencies(std::span<const int64_t> sequence_lens, int64_t num_tokens) const;

  RopeConfig config_;
  int64_t rotary_dim_;
  double attention_factor_;
  at::Tensor frequencies_;  // [rotary_dim / 2] float32, of the shortest sequences
};

/// Turns every head of every token by its position, in place; computed in float32. Where the table
/// is for fewer dimensions than a head has, those behind them stay as they are.
/// @param heads  [num_tokens, num_heads, head_dim]; the heads of one token must lie together
void apply_rope(const at::Tensor& heads, const RopeTable& table);

}  // namespace prepack
