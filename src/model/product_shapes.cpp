#include "model/product_shapes.h"

namespace prepack {

std::vector<ProductShape> layer_products(const ModelConfig& config) {
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  return {{query_size + 2 * key_size, config.hidden_size},
          {config.hidden_size, query_size},
          {2 * config.intermediate_size, config.hidden_size},
          {config.hidden_size, config.intermediate_size}};
}

}  // namespace prepack
