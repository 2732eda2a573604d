#include "model/families/common.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

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

int64_t read_num_kv_heads(const ConfigReader& config, int64_t num_heads,
                          std::optional<int64_t> absent) {
  constexpr auto kKey = "num_key_value_heads";
  const int64_t as_if_absent = config.is_null(kKey) ? num_heads : absent.value_or(num_heads);
  const int64_t num_kv_heads = config.integer(kKey, kHeadCounts, as_if_absent);
  if (num_heads % num_kv_heads != 0) {
    config.fail(kKey, fmt::format("expected a divisor of num_attention_heads, {}, got {}",
                                  num_heads, num_kv_heads));
  }
  return num_kv_heads;
}

int64_t read_head_dim(const ConfigReader& config, int64_t hidden_size, int64_t num_heads,
                      std::optional<int64_t> absent) {
  const bool is_given = config.has("head_dim") || absent;
  if (!is_given && hidden_size % num_heads != 0) {
    config.fail("hidden_size", fmt::format("expected a multiple of num_attention_heads, {}, got {}",
                                           num_heads, hidden_size));
  }
  const int64_t head_dim =
      config.integer("head_dim", kHeadDims, absent.value_or(hidden_size / num_heads));
  if (head_dim % 2 != 0) {  // RoPE rotates pairs
    config.fail("head_dim", fmt::format("expected an even number, got {}", head_dim));
  }
  return head_dim;
}

int64_t read_rotary_dim(const ConfigReader& config, int64_t head_dim, bool may_be_part) {
  constexpr auto kKey = "partial_rotary_factor";
  const double factor = read_partial_rotary_factor(config);
  if (factor != 1.0 && !may_be_part) config.fail(kKey, "expected 1, others are not supported");
  const auto rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * factor);
  if (rotary_dim < 2 || rotary_dim % 2 != 0) {
    config.fail(kKey, fmt::format("expected an even number of dimensions, got {} of {}", rotary_dim,
                                  head_dim));
  }
  return rotary_dim;
}

/// @return whether each layer has a window; nullopt if the key is absent
std::optional<std::vector<bool>> read_layer_types(const ConfigReader& config, int64_t num_layers) {
  constexpr auto kKey = "layer_types";
  if (!config.has(kKey)) return std::nullopt;
  const auto types = config.strings(kKey);
  if (std::ssize(types) != num_layers) {
    config.fail(
        kKey, fmt::format("expected one for each of {} layers, got {}", num_layers, types.size()));
  }
  std::vector<bool> slides;
  for (const auto& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      config.fail(kKey, fmt::format("expected full_attention or sliding_attention, got \"{}\"",
                                    printable(type)));
    }
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

/// @param absent  a smaller vocabulary has no such token to end a text with
std::vector<TokenId> read_eos_token_ids(const ConfigReader& config, int64_t vocab_size,
                                        std::optional<TokenId> absent) {
  constexpr auto kKey = "eos_token_id";
  if (auto ids = config.token_ids(kKey, vocab_size)) return std::move(*ids);
  if (!absent || config.is_null(kKey) || *absent >= vocab_size) return {};
  return {*absent};
}

void check_supported(const ConfigReader& config) {
  const auto activation = config.string("hidden_act", "silu");
  if (activation != "silu") {
    config.fail("hidden_act", fmt::format("expected silu, got \"{}\"", printable(activation)));
  }
}

}  // namespace

ModelConfig read_common_config(const ConfigReader& config, const ConfigClass& config_class) {
  check_supported(config);
  ModelConfig result;
  result.vocab_size = config.integer("vocab_size", kVocabSizes);
  result.hidden_size = config.integer("hidden_size", kHiddenSizes);
  result.intermediate_size = config.integer("intermediate_size", kIntermediateSizes);
  result.num_layers = config.integer("num_hidden_layers", kLayerCounts);
  result.num_heads = config.integer("num_attention_heads", kHeadCounts);
  result.num_kv_heads = read_num_kv_heads(config, result.num_heads, config_class.num_kv_heads);
  result.head_dim =
      read_head_dim(config, result.hidden_size, result.num_heads, config_class.head_dim);
  result.rotary_dim = read_rotary_dim(config, result.head_dim, config_class.rotates_part_of_heads);
  result.max_position_embeddings = config.integer("max_position_embeddings", kPositionCounts,
                                                  config_class.max_position_embeddings);
  result.rms_norm_eps = config.number("rms_norm_eps", {0.0, 1.0}, config_class.rms_norm_eps);
  result.rope = read_rope_config(config, result.rotary_dim, result.max_position_embeddings,
                                 config_class.rope_theta);
  result.tie_word_embeddings =
      config.boolean("tie_word_embeddings", config_class.tie_word_embeddings);
  result.eos_token_ids = read_eos_token_ids(config, result.vocab_size, config_class.eos_token_id);
  return result;
}

void read_attention_bias(const ConfigReader& config, ModelConfig& result) {
  result.qkv_bias = result.attention_output_bias = config.boolean("attention_bias", false);
}

std::optional<int64_t> read_sliding_window(const ConfigReader& config,
                                           std::optional<int64_t> absent) {
  constexpr auto kKey = "sliding_window";
  if (config.has(kKey)) return config.integer(kKey, kPositionCounts);
  return config.is_null(kKey) ? std::nullopt : absent;
}

void set_sliding_windows(const ConfigReader& config, std::optional<int64_t> window,
                         const std::function<bool(int64_t layer)>& slides_by_default,
                         ModelConfig& result) {
  const auto given = read_layer_types(config, result.num_layers);
  std::vector<std::optional<int64_t>> windows;
  for (int64_t layer = 0; layer < result.num_layers; ++layer) {
    const bool slides = given ? (*given)[layer] : window && slides_by_default(layer);
    if (slides && !window) {
      config.fail("layer_types", fmt::format("layer {} is of sliding_attention, and the model has "
                                             "no sliding_window",
                                             layer));
    }
    windows.push_back(slides ? window : std::nullopt);
  }
  const bool has_any = std::ranges::any_of(windows, [](const auto& w) { return w.has_value(); });
  if (has_any) result.sliding_windows = std::move(windows);
}

void set_window_of_all_layers(const ConfigReader& config, std::optional<int64_t> absent,
                              ModelConfig& result) {
  if (config.has("layer_types")) {
    config.fail("layer_types", "not supported: the layers of this architecture are alike");
  }
  set_sliding_windows(
      config, read_sliding_window(config, absent), [](int64_t) { return true; }, result);
}

void read_qwen_windows(const ConfigReader& config, ModelConfig& result) {
  const auto window = read_sliding_window(config, 4096);
  const bool uses_window = config.boolean("use_sliding_window", false);
  const int64_t num_full_layers = config.integer("max_window_layers", {0, kMaxInt32}, 28);
  set_sliding_windows(
      config, uses_window ? window : std::nullopt,
      [&](int64_t layer) { return layer >= num_full_layers; }, result);
}

}  // namespace prepack
