#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "prepack/weight_layout.h"
#include "weights/blocked_weight.h"

namespace prepack {

/// Whether this CPU has instructions for products of this dtype, and LibTorch such products with
/// blocked weights. On x86: what else LibTorch computes with is not oneDNN's.
bool has_blocked_products(at::ScalarType type);

/// The weight in oneDNN's layout, unless there are no products with it, or it is just rows.
std::optional<BlockedWeight> blocks_of(const at::Tensor& weight);

/// How long a product took with either layout of its weight.
struct LayoutTimes {
  int64_t num_rows;
  double plain_s;
  double blocked_s;
};

/// Whether blocked weights are clearly faster where there are many rows, and nowhere slower.
bool is_blocked_faster(std::span<const LayoutTimes> times);

/// Multiplies with either, in turns.
/// @return of 1, 16, 128 and 512 rows; up to the first of them that decides for plain weights
std::vector<LayoutTimes> measure_layouts(const at::Tensor& weight, const BlockedWeight& blocks);

/// Chooses the layout of weights of one dtype, the same for all of a shape.
class LayoutChoice {
 public:
  explicit LayoutChoice(WeightLayout layout) : layout_(layout) {}

  /// Whether this weight is to become a BlockedWeight. With kAuto the first of each shape is
  /// measured. For all shapes of a model that takes about as long as a prefill of
  /// 4,000 / num_layers tokens, for a small one 50 ms; and nothing where oneDNN's layout is rows,
  /// or where bfloat16_product() multiplies many rows.
  /// @param weight  [out_features, in_features] of the dtype that is computed in
  bool wants_blocked(const at::Tensor& weight);

 private:
  WeightLayout layout_;
  std::map<std::pair<int64_t, int64_t>, bool> measured_;  // by shape
};

}  // namespace prepack
