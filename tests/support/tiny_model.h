#pragma once

#include <functional>
#include <span>
#include <vector>

#include "bench/verification.h"
#include "model/weight.h"
#include "prepack/model.h"
#include "prepack/prefill.h"

namespace prepack::testing {

/// Small shapes that differ in everything a Llama-style model may differ in: grouped, single and
/// separate key heads; tied embeddings; biases; the types of RoPE, none and in part; norms of
/// queries and keys; sliding windows in all layers and in some.
std::vector<ModelConfig> tiny_configs();

/// The same with input features of all products in whole groups of 64, so that `--quantize int4`
/// leaves none of them in 8 bits.
ModelConfig in_whole_groups(ModelConfig config);

/// A model of random weights; the same for the same seed, and, but for rounding, in every dtype.
/// @param store   what becomes of the weights of the layers' products; empty: nothing
/// @param device  where it computes
Model random_model(const ModelConfig& config, uint64_t seed = 1, DType dtype = DType::kFloat32,
                   const std::function<Weight(const at::Tensor&)>& store = {},
                   at::Device device = at::kCPU);

/// Every way to prefill, named: each method, each packing, and token budgets that need one forward
/// or several.
struct NamedOptions {
  std::string name;
  PrefillOptions options;
};
std::vector<NamedOptions> prefill_variants(std::span<const TokenIds> prompts);

using bench::prefill_alone;

/// The filled part of a cache row: [2 * num_layers, length, num_kv_heads, head_dim], keys first.
at::Tensor cache_row(const KvCache& cache, int64_t row, int64_t length);

/// Checks lengths, logits and every filled cache slot, and that all other slots are zero.
void check_same_state(const DecodeState& actual, const DecodeState& expected, double tolerance);

}  // namespace prepack::testing
