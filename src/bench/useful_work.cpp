#include "bench/useful_work.h"

#include <algorithm>

#include "prepack/kv_cache.h"
#include "prepack/prefill.h"

namespace prepack::bench {
namespace {

/// Operations by what they are done for.
struct Costs {
  double layer = 0;   // products of one token in one layer
  double keys = 0;    // of these, its key and value
  double pair = 0;    // attention of one query to one key in one layer
  double logits = 0;  // of one token
};

Costs costs_of(const ModelConfig& config) {
  const auto num_layers = static_cast<double>(config.num_layers);
  const auto hidden_size = static_cast<double>(config.hidden_size);
  return {
      .layer = prefill_cost(config).linear / num_layers,
      .keys = 2 * hidden_size * static_cast<double>(2 * config.num_kv_heads * config.head_dim),
      // A score, and its product with the value.
      .pair = static_cast<double>(4 * config.num_heads * config.head_dim),
      .logits = 2 * hidden_size * static_cast<double>(config.vocab_size),
  };
}

/// Keys that the query at a position attends to in one layer.
double num_keys(const ModelConfig& config, int64_t layer, int64_t position) {
  const auto window = config.sliding_window(layer);
  return static_cast<double>(window ? std::min(position + 1, *window) : position + 1);
}

/// Pairs of a query and a key of a whole prompt in one layer.
double num_pairs(const ModelConfig& config, int64_t layer, int64_t length) {
  const auto n = static_cast<double>(length);
  const auto w = std::min(n, static_cast<double>(config.sliding_window(layer).value_or(length)));
  return w * (w + 1) / 2 + (n - w) * w;
}

/// Keys that the queries of some decode steps attend to, in all layers together.
double num_decode_keys(const ModelConfig& config, std::span<const int64_t> lengths,
                       int64_t num_steps) {
  double keys = 0;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (int64_t length : lengths) {
      for (int64_t step = 0; step < num_steps; ++step) {
        keys += num_keys(config, layer, length + step);
      }
    }
  }
  return keys;
}

}  // namespace

double prefill_operations(const ModelConfig& config, std::span<const int64_t> lengths) {
  const auto cost = costs_of(config);
  const int64_t last_layer = config.num_layers - 1;
  double operations = 0;
  for (int64_t length : lengths) {
    const auto n = static_cast<double>(length);
    for (int64_t layer = 0; layer < last_layer; ++layer) {
      operations += n * cost.layer + num_pairs(config, layer, length) * cost.pair;
    }
    operations += n * cost.keys + (cost.layer - cost.keys) +
                  num_keys(config, last_layer, length - 1) * cost.pair + cost.logits;
  }
  return operations;
}

double decode_operations(const ModelConfig& config, std::span<const int64_t> lengths,
                         int64_t num_steps) {
  const auto cost = costs_of(config);
  const auto num_tokens = static_cast<double>(num_steps) * static_cast<double>(lengths.size());
  return num_tokens * (static_cast<double>(config.num_layers) * cost.layer + cost.logits) +
         num_decode_keys(config, lengths, num_steps) * cost.pair;
}

double decode_bytes(const ModelConfig& config, DType dtype, int64_t weight_bytes,
                    std::span<const int64_t> lengths, int64_t num_steps) {
  return static_cast<double>(num_steps * weight_bytes) +
         num_decode_keys(config, lengths, num_steps) *
             static_cast<double>(KvCache::bytes_per_slot(config, dtype) / config.num_layers);
}

}  // namespace prepack::bench
