#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "prepack/model_config.h"

namespace prepack::testing {

/// A tensor of a checkpoint.
struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;

  int64_t numel() const;
};

/// The tensors of a model folder, as the config's family names them.
std::vector<TensorShape> checkpoint_tensors(const ModelConfig& config);

/// How large a model is.
struct ModelSizes {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_layers;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};

/// The config.json of a folder with other sizes, and all else that its family has: what it lists
/// layer by layer is repeated.
nlohmann::json resized_config(const std::filesystem::path& folder, const ModelSizes& sizes);

/// Writes a model folder but for its weights, with the tests' tokenizer.
void write_config(const std::filesystem::path& folder, const nlohmann::json& config);

/// As in_whole_groups makes the sizes of the folder's model.
nlohmann::json config_in_whole_groups(const std::filesystem::path& folder);

/// The same with float32 weights drawn at random.
void write_random_model(const std::filesystem::path& folder, const nlohmann::json& config);

}  // namespace prepack::testing
