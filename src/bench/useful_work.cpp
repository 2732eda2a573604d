#include "bench/useful_work.h"

#include <numeric>

#include "prepack/kv_cache.h"
#include "prepack/memory.h"
#include "prepack/prefill.h"

namespace prepack::bench {
namespace {

/// Operations by what they are done for.
struct Costs {
  double layer = 0;   // products of one token in one layer
  double keys = 0;    // of these, its key and value
  double pair = 0;    // attention of one query to one key in one layer
  double logits = 0;  // of one token
  double num_layers = 0;
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
      .num_layers = num_layers,
  };
}

/// Keys that the queries of some steps attend to.
double num_keys(std::span<const int64_t> lengths, int64_t num_steps) {
  const auto steps = static_cast<double>(num_steps);
  const auto tokens = static_cast<double>(std::reduce(lengths.begin(), lengths.end()));
  return steps * tokens + static_cast<double>(lengths.size()) * steps * (steps + 1) / 2;
}

}  // namespace

double prefill_operations(const ModelConfig& config, std::span<const int64_t> lengths) {
  const auto cost = costs_of(config);
  double operations = 0;
  for (int64_t length : lengths) {
    const auto n = static_cast<double>(length);
    const double whole_layer = n * cost.layer + n * (n + 1) / 2 * cost.pair;
    const double last_layer = n * cost.keys + (cost.layer - cost.keys) + n * cost.pair;
    operations += (cost.num_layers - 1) * whole_layer + last_layer + cost.logits;
  }
  return operations;
}

double decode_operations(const ModelConfig& config, std::span<const int64_t> lengths,
                         int64_t num_steps) {
  const auto cost = costs_of(config);
  const auto num_tokens = static_cast<double>(num_steps) * static_cast<double>(lengths.size());
  return num_tokens * (cost.num_layers * cost.layer + cost.logits) +
         num_keys(lengths, num_steps) * cost.num_layers * cost.pair;
}

double decode_bytes(const ModelConfig& config, DType dtype, c10::Device device,
                    std::span<const int64_t> lengths, int64_t num_steps,
                    const std::optional<Quantization>& quantization) {
  const auto weight_bytes = [&](const std::optional<Quantization>& of_products) {
    return static_cast<double>(estimate_memory(config, dtype, device, {}, of_products).weights);
  };
  // Embeddings are never quantized.
  const auto num_unread = config.tie_word_embeddings
                              ? 0.0
                              : static_cast<double>(config.vocab_size * config.hidden_size);
  const double unread =
      weight_bytes({}) * num_unread / static_cast<double>(config.num_parameters());
  return static_cast<double>(num_steps) * (weight_bytes(quantization) - unread) +
         num_keys(lengths, num_steps) * static_cast<double>(KvCache::bytes_per_slot(config, dtype));
}

}  // namespace prepack::bench
