#include "model/families/llama.h"

#include <fmt/format.h>

#include <limits>

#include "model/rope_config.h"
#include "weights/json.h"

namespace prepack {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

// Far above any model's, and low enough that no count of parameters or bytes overflows an int64_t.
constexpr IntegerRange kVocabSizes = {1, kMaxInt32};
constexpr IntegerRange kHiddenSizes = {1, 1 << 20};
constexpr IntegerRange kIntermediateSizes = {1, 1 << 24};
constexpr IntegerRange kLayerCounts = {1, 1 << 14};
constexpr IntegerRange kHeadCounts = {1, 1 << 12};
constexpr IntegerRange kHeadDims = {2, 1 << 12};
constexpr IntegerRange kPositionCounts = {1, kMaxInt32};

int64_t read_head_dim(const ConfigReader& config, int64_t hidden_size, int64_t num_heads) {
  const bool is_given = config.has("head_dim");
  if (!is_given && hidden_size % num_heads != 0) {
    config.fail("hidden_size", fmt::format("expected a multiple of num_attention_heads, {}, got {}",
                                           num_heads, hidden_size));
  }
  const int64_t head_dim =
      is_given ? config.integer("head_dim", kHeadDims) : hidden_size / num_heads;
  if (head_dim % 2 != 0) {  // RoPE rotates pairs
    config.fail("head_dim", fmt::format("expected an even number, got {}", head_dim));
  }
  return head_dim;
}

void check_supported(const ConfigReader& config) {
  const auto activation = config.string("hidden_act", "silu");
  if (activation != "silu") {
    config.fail("hidden_act", fmt::format("expected silu, got \"{}\"", printable(activation)));
  }
  if (config.has("quantization_config")) {
    config.fail("quantization_config", "quantized checkpoints are not supported");
  }
}

}  // namespace

ModelConfig read_llama_config(const ConfigReader& config) {
  check_supported(config);
  ModelConfig result;
  result.architecture = "LlamaForCausalLM";
  result.vocab_size = config.integer("vocab_size", kVocabSizes);
  result.hidden_size = config.integer("hidden_size", kHiddenSizes);
  result.intermediate_size = config.integer("intermediate_size", kIntermediateSizes);
  result.num_layers = config.integer("num_hidden_layers", kLayerCounts);
  result.num_heads = config.integer("num_attention_heads", kHeadCounts);
  result.num_kv_heads = config.integer("num_key_value_heads", kHeadCounts, result.num_heads);
  if (result.num_heads % result.num_kv_heads != 0) {
    config.fail("num_key_value_heads",
                fmt::format("expected a divisor of num_attention_heads, {}, got {}",
                            result.num_heads, result.num_kv_heads));
  }
  result.head_dim = read_head_dim(config, result.hidden_size, result.num_heads);
  result.max_position_embeddings = config.integer("max_position_embeddings", kPositionCounts, 2048);
  result.rms_norm_eps = config.number("rms_norm_eps", {0.0, 1.0}, 1e-6);
  result.rope = read_rope_config(config, result.head_dim, result.max_position_embeddings);
  result.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  result.qkv_bias = config.boolean("attention_bias", false);
  result.attention_output_bias = result.qkv_bias;
  result.mlp_bias = config.boolean("mlp_bias", false);
  return result;
}

}  // namespace prepack
