#include "prepack/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "model/checkpoint_quantization_config.h"
#include "model/config_reader.h"
#include "model/families/family.h"
#include "model/gguf_config.h"
#include "model/rope_config.h"
#include "prepack/error.h"
#include "weights/gguf.h"
#include "weights/json.h"

namespace prepack {
namespace {

const Family& find_family(const ConfigReader& config) {
  const auto architectures = config.strings("architectures");
  const auto model_type = config.string("model_type", "");
  for (const auto* family : families()) {
    // Some configs name their model_type only.
    if (architectures.empty() ? family->model_type == model_type
                              : std::find(architectures.begin(), architectures.end(),
                                          family->architecture) != architectures.end()) {
      return *family;
    }
  }
  std::vector<std::string_view> supported;
  for (const auto* family : families()) supported.push_back(family->architecture);
  const auto got = !architectures.empty() ? printable(architectures.front())
                   : !model_type.empty()  ? "model_type " + printable(model_type)
                                          : "none";
  config.fail("architectures",
              fmt::format("expected one of {}, got {}", fmt::join(supported, ", "), got));
}

ModelConfig read_model_config(const nlohmann::json& json, const std::string& source) {
  const ConfigReader config(json, source);
  const auto& family = find_family(config);
  ModelConfig result = family.read_config(config);
  result.architecture = family.architecture;
  result.max_position_embeddings = reach_of_rope(result.rope, result.max_position_embeddings);
  result.dtype = config.dtype(config.has("dtype") ? "dtype" : "torch_dtype", DType::kFloat32);
  if (const auto quantization = config.object("quantization_config")) {
    result.checkpoint_quantization = read_checkpoint_quantization(*quantization);
  }
  result.has_quantized_tensors = config.boolean(kQuantizedTensors, false);
  if (config.has("bos_token_id")) {
    result.bos_token_id =
        static_cast<TokenId>(config.integer("bos_token_id", {0, result.vocab_size - 1}));
  }
  return result;
}

}  // namespace

std::vector<int64_t> ModelConfig::distinct_windows() const {
  std::set<int64_t> windows;
  for (const auto& window : sliding_windows) {
    if (window) windows.insert(*window);
  }
  return {windows.begin(), windows.end()};
}

int64_t ModelConfig::num_parameters() const {
  const int64_t query_size = num_heads * head_dim;
  const int64_t kv_size = num_kv_heads * head_dim;
  int64_t attention = 2 * hidden_size * (query_size + kv_size);  // q and o, k and v
  if (qkv_bias) attention += query_size + 2 * kv_size;
  if (attention_output_bias) attention += hidden_size;
  if (qk_norm) attention += 2 * head_dim;
  int64_t mlp = 3 * hidden_size * intermediate_size;  // gate, up, down
  if (mlp_bias) mlp += 2 * intermediate_size + hidden_size;
  const int64_t norms = 2 * hidden_size;
  const int64_t embeddings = (tie_word_embeddings ? 1 : 2) * vocab_size * hidden_size;
  return embeddings + num_layers * (attention + mlp + norms) + hidden_size;
}

ModelConfig parse_model_config(std::string_view json_text, const std::string& source) {
  return read_model_config(parse_json(json_text, source), source);
}

ModelConfig load_model_config(const std::filesystem::path& model) {
  if (names_gguf(model)) {
    const auto gguf = open_gguf(model);
    return read_model_config(gguf_config(gguf.header, gguf.file->bytes()), model.string());
  }
  const auto path = model / "config.json";
  ModelConfig result = read_model_config(read_json_file(path), path.string());

  std::error_code ignored;
  const auto quantize_path = model / "quantize_config.json";
  if (!result.checkpoint_quantization && std::filesystem::exists(quantize_path, ignored)) {
    const auto json = read_json_file(quantize_path);
    result.checkpoint_quantization =
        read_checkpoint_quantization(ConfigReader(json, quantize_path.string()), "gptq");
  }
  const auto generation_path = model / "generation_config.json";
  if (!std::filesystem::exists(generation_path, ignored)) return result;
  const auto json = read_json_file(generation_path);
  const ConfigReader generation(json, generation_path.string());
  if (auto ids = generation.token_ids("eos_token_id", result.vocab_size)) {
    result.eos_token_ids = std::move(*ids);
  }
  return result;
}

}  // namespace prepack
