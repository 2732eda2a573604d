#include "support/tiny_model.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/scalar_type.h"
#include "model/decoder.h"
#include "support/all_close.h"
#include "support/random.h"
#include "support/tensors.h"

namespace prepack::testing {
namespace {

/// Draws the weights of one model in a fixed order.
class WeightSource {
 public:
  WeightSource(uint64_t seed, DType dtype, std::function<Weight(const at::Tensor&)> store,
               at::Device device)
      : random_(seed), dtype_(to_scalar_type(dtype)), store_(std::move(store)), device_(device) {}

  /// Large enough that tokens matter to each other, small enough that logits stay below ten or so.
  at::Tensor matrix(int64_t rows, int64_t columns) {
    const double scale = 1.5 / std::sqrt(static_cast<double>(columns));
    return random_tensor(random_, {rows, columns}).mul(scale).to(device_, dtype_);
  }

  Linear linear(int64_t rows, int64_t columns, bool has_bias) {
    const auto weight = matrix(rows, columns);
    Linear linear{.weight = store_ ? store_(weight) : weight, .bias = {}};
    if (has_bias) linear.bias = random_tensor(random_, {rows}).mul(0.3).to(device_, dtype_);
    return linear;
  }

  RmsNorm norm(int64_t size, double eps) {
    return {random_tensor(random_, {size}).mul(0.2).add(1).to(device_, dtype_), eps};
  }

 private:
  Random random_;
  at::ScalarType dtype_;
  std::function<Weight(const at::Tensor&)> store_;
  at::Device device_;
};

DecoderLayer random_layer(WeightSource& weights, const ModelConfig& config) {
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  DecoderLayer layer;
  layer.input_layernorm = weights.norm(config.hidden_size, config.rms_norm_eps);
  layer.self_attn.qkv_proj =
      weights.linear(query_size + 2 * key_size, config.hidden_size, config.qkv_bias);
  layer.self_attn.o_proj =
      weights.linear(config.hidden_size, query_size, config.attention_output_bias);
  if (config.qk_norm) {
    layer.self_attn.q_norm = weights.norm(config.head_dim, config.rms_norm_eps);
    layer.self_attn.k_norm = weights.norm(config.head_dim, config.rms_norm_eps);
  }
  layer.post_attention_layernorm = weights.norm(config.hidden_size, config.rms_norm_eps);
  layer.mlp.gate_up_proj =
      weights.linear(2 * config.intermediate_size, config.hidden_size, config.mlp_bias);
  layer.mlp.down_proj =
      weights.linear(config.hidden_size, config.intermediate_size, config.mlp_bias);
  return layer;
}

ModelConfig base_config() {
  ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.vocab_size = 61;
  config.hidden_size = 42;
  config.intermediate_size = 57;
  config.num_layers = 3;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 10;
  config.max_position_embeddings = 128;
  config.rms_norm_eps = 1e-5;
  config.eos_token_ids = {2};
  return config;
}

}  // namespace

std::vector<ModelConfig> tiny_configs() {
  auto grouped = base_config();

  auto single = base_config();
  single.hidden_size = 39;
  single.intermediate_size = 33;
  single.num_layers = 2;
  single.num_heads = 3;
  single.num_kv_heads = 1;
  single.head_dim = 14;
  single.rope = {.theta = 5000, .scaling = LinearRopeScaling{2.5}};
  single.tie_word_embeddings = true;
  single.qkv_bias = single.attention_output_bias = single.mlp_bias = true;

  auto separate = base_config();
  separate.hidden_size = 25;
  separate.intermediate_size = 50;
  separate.num_layers = 2;
  separate.num_heads = 5;
  separate.num_kv_heads = 5;
  separate.head_dim = 12;
  separate.rope = {.theta = 500, .scaling = Llama3RopeScaling{8, 1, 4, 64}};

  // Original contexts that some prompts of most tests exceed and others do not.
  auto dynamic = base_config();
  dynamic.num_layers = 2;
  dynamic.rope = {.theta = 500, .scaling = DynamicRopeScaling{8, 11}};

  auto longrope = base_config();
  longrope.num_layers = 2;
  longrope.num_heads = 4;
  longrope.rope = {.theta = 500,
                   .scaling = LongRopeScaling{{1, 1, 1.2, 1.5, 2}, {1, 2, 3, 4, 5}, 1.2, 11}};

  auto yarn = base_config();
  yarn.num_layers = 2;
  yarn.num_kv_heads = 3;
  yarn.rope = {.theta = 500, .scaling = YarnRopeScaling{4, 1.1, 32, 1, true, 32}};

  // Windows that most prompts of the tests are longer than.
  auto windowed = base_config();
  windowed.num_layers = 2;
  windowed.num_heads = 4;
  windowed.sliding_windows = {7, 7};

  auto normed = base_config();
  normed.num_heads = 8;
  normed.num_kv_heads = 4;
  normed.head_dim = 8;
  normed.qk_norm = normed.qkv_bias = true;
  normed.sliding_windows = {std::nullopt, 5, 12};

  auto partly_turned = base_config();
  partly_turned.num_heads = 9;
  partly_turned.num_kv_heads = 3;
  partly_turned.rotary_dim = 6;
  partly_turned.rope_layers = {true, false, true};
  partly_turned.sliding_windows = {9, std::nullopt, 9};

  std::vector<ModelConfig> configs = {grouped, single,   separate, dynamic,      longrope,
                                      yarn,    windowed, normed,   partly_turned};
  for (auto& config : configs) {
    if (config.rotary_dim == 0) config.rotary_dim = config.head_dim;
  }
  return configs;
}

ModelConfig in_whole_groups(ModelConfig config) {
  constexpr int64_t kGroupSize = 64;
  const bool is_grouped = config.num_kv_heads < config.num_heads;
  config.hidden_size = 2 * kGroupSize;
  config.intermediate_size = 3 * kGroupSize;
  config.num_heads = kGroupSize / std::gcd(kGroupSize, config.head_dim);
  config.num_kv_heads =
      is_grouped ? std::gcd(config.num_kv_heads, config.num_heads) : config.num_heads;
  return config;
}

Model random_model(const ModelConfig& config, uint64_t seed, DType dtype,
                   const std::function<Weight(const at::Tensor&)>& store, at::Device device) {
  WeightSource weights(seed, dtype, store, device);
  auto decoder = std::make_shared<Model::Decoder>(Rope(config.rope, config.rotary_dim, device));
  decoder->embed_tokens = weights.matrix(config.vocab_size, config.hidden_size);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    decoder->layers.push_back(random_layer(weights, config));
  }
  decoder->norm = weights.norm(config.hidden_size, config.rms_norm_eps);
  decoder->lm_head.weight = config.tie_word_embeddings
                                ? decoder->embed_tokens
                                : weights.matrix(config.vocab_size, config.hidden_size);
  return {config, dtype, device, std::move(decoder)};
}

std::vector<NamedOptions> prefill_variants(std::span<const TokenIds> prompts) {
  int64_t longest = 1;
  for (const auto& prompt : prompts) {
    longest = std::max(longest, static_cast<int64_t>(prompt.size()));
  }
  std::vector<NamedOptions> variants;
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    for (auto packing :
         {PackingAlgorithm::kBestFitDecreasing, PackingAlgorithm::kFirstFitDecreasing}) {
      for (int64_t budget : {int64_t{4096}, 2 * longest + 1, longest}) {
        variants.push_back({std::string(to_string(method)) + ", " +
                                std::string(to_string(packing)) + ", " + std::to_string(budget) +
                                " tokens",
                            {.method = method, .packing = packing, .token_budget = budget}});
      }
    }
  }
  variants.push_back(
      {"padded, padded cache", {.method = PrefillMethod::kPadded, .padded_cache = true}});
  return variants;
}

at::Tensor cache_row(const KvCache& cache, int64_t row, int64_t length) {
  const auto gather = [&](const at::Tensor& side) {
    std::vector<at::Tensor> parts;
    for (const auto& run : cache.slot_runs(row, length)) {
      parts.push_back(side.narrow(0, run.first_slot, run.num_slots));
    }
    return at::cat(parts);
  };
  std::vector<at::Tensor> sides;
  for (int64_t layer = 0; layer < cache.num_layers(); ++layer) {
    sides.push_back(gather(cache.keys(layer)));
  }
  for (int64_t layer = 0; layer < cache.num_layers(); ++layer) {
    sides.push_back(gather(cache.values(layer)));
  }
  return at::stack(sides);
}

void check_same_state(const DecodeState& actual, const DecodeState& expected, double tolerance) {
  REQUIRE(actual.lengths == expected.lengths);
  REQUIRE(actual.cache.capacity() == expected.cache.capacity());
  CHECK_THAT(actual.logits, AllClose(expected.logits, tolerance));
  const int64_t capacity = actual.cache.capacity();
  for (size_t i = 0; i < actual.lengths.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const int64_t length = actual.lengths[i];
    INFO("cache row " << row);
    CHECK_THAT(cache_row(actual.cache, row, length),
               AllClose(cache_row(expected.cache, row, length), tolerance));
    const auto rest = cache_row(actual.cache, row, capacity).narrow(1, length, capacity - length);
    CHECK_THAT(rest, BitEqual(at::zeros_like(rest)));
  }
}

}  // namespace prepack::testing
