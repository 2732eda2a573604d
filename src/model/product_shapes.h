#pragma once

#include <cstdint>
#include <vector>

#include "prepack/model_config.h"

namespace prepack {

/// The weight of a product: [out_features, in_features].
struct ProductShape {
  int64_t out_features;
  int64_t in_features;
};

/// Those of one layer: queries, keys and values; the attention's output; gate and up; down.
std::vector<ProductShape> layer_products(const ModelConfig& config);

}  // namespace prepack
