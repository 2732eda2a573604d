#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace prepack {

/// The weight of a product on the CPU in the layout that oneDNN chooses for its shape and dtype:
/// blocks that its products read as they lie, where it has such for this CPU, and else rows. Its
/// products are LibTorch's fused ones, which TorchInductor compiles models to; threads may share
/// it.
/// Ref: oneDNN, "Understanding Memory Formats"; PyTorch, aten/src/ATen/native/mkldnn/Linear.cpp
class BlockedWeight {
 public:
  /// Whether LibTorch has products with blocked weights of this dtype, on this CPU.
  static bool is_supported(at::ScalarType type);

  /// @param weight  [out_features, in_features] of a supported dtype; is copied
  explicit BlockedWeight(const at::Tensor& weight);

  int64_t out_features() const { return num_features_; }

  /// With what fills up the last blocks.
  int64_t nbytes() const;

  /// Whether it is the weight that it was made of byte for byte, so that nothing is gained.
  bool is_plain(const at::Tensor& weight) const;

  /// input * weight^T + bias
  /// @param input  [num_tokens, in_features] in the weight's dtype
  /// @param bias   [out_features] likewise
  /// @return       [num_tokens, out_features] likewise
  at::Tensor multiply(const at::Tensor& input, const std::optional<at::Tensor>& bias) const;

  /// sum += input * weight^T + bias
  /// @param sum  [num_tokens, out_features] in the weight's dtype; may be a slice
  void add_product(const at::Tensor& input, const std::optional<at::Tensor>& bias,
                   at::Tensor& sum) const;

  /// Some of the output features; shares the memory of this one. Blocks cannot be cut anywhere, so
  /// that its products compute all features, and leave out the others: in a model this is for
  /// the two parts of the last layer's first product.
  BlockedWeight narrow(int64_t first, int64_t count) const;

 private:
  bool is_whole() const { return num_features_ == blocks_.size(0); }

  at::Tensor blocks_;  // opaque but for its sizes, which are the whole weight's
  int64_t first_feature_ = 0;
  int64_t num_features_;
};

}  // namespace prepack
