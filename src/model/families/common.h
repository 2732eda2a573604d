#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "model/config_reader.h"
#include "prepack/model_config.h"

namespace prepack {

/// What differs between the config classes of transformers: mostly what absent keys mean.
struct ConfigClass {
  std::optional<int64_t> num_kv_heads = {};  // none: as many as query heads
  std::optional<int64_t> head_dim = {};      // none: hidden_size / num_attention_heads
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;
  std::optional<TokenId> eos_token_id = {};  // none: generation does not end by itself
  bool rotates_part_of_heads = false;  // reads partial_rotary_factor; the others refuse it
};

/// Reads the keys that mean the same in every family; the rest of the result is that of a model
/// without biases, windows and other features.
/// @throws LoadError naming the key: missing, of the wrong type, or out of range
ModelConfig read_common_config(const ConfigReader& config, const ConfigClass& config_class);

/// attention_bias, as most families that have it mean it: of all four projections.
void read_attention_bias(const ConfigReader& config, ModelConfig& result);

/// The key sliding_window. @param absent  what it is without the key; null means no window
std::optional<int64_t> read_sliding_window(const ConfigReader& config,
                                           std::optional<int64_t> absent);

/// Gives a window to the layers that the key layer_types says, or without the key to those that
/// `slides_by_default` says.
/// @param window  nullopt if the model has none, so that no layer may ask for it
/// @throws LoadError for layer_types of another number than layers, or of other names
void set_sliding_windows(const ConfigReader& config, std::optional<int64_t> window,
                         const std::function<bool(int64_t layer)>& slides_by_default,
                         ModelConfig& result);

/// The window of families whose layers are alike: on every layer or on none.
/// @param absent  what the key sliding_window is without it
/// @throws LoadError for layer_types, which transformers does not read there
void set_window_of_all_layers(const ConfigReader& config, std::optional<int64_t> absent,
                              ModelConfig& result);

/// Windows as Qwen2 and Qwen3 have them: use_sliding_window, sliding_window, and layer_types or
/// else max_window_layers, the number of layers at the bottom without one.
/// Ref: transformers Qwen2Config
void read_qwen_windows(const ConfigReader& config, ModelConfig& result);

}  // namespace prepack
