#include "model/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/rope_config.h"
#include "weights/gguf_architecture.h"
#include "weights/little_endian.h"

namespace prepack {
namespace {

using Json = nlohmann::json;

class ConfigBuilder {
 public:
  ConfigBuilder(const GgufHeader& header, std::span<const std::byte> file)
      : tensors_(header.tensors),
        file_(file),
        metadata_(header.metadata),
        architecture_(find_architecture(metadata_)) {}

  Json build() const {
    require_supported();
    Json config = {
        {"architectures", Json::array({architecture_.architecture})},
        {"vocab_size", vocab_size()},
        {"hidden_size", metadata_.integer(key("embedding_length"))},
        {"intermediate_size", metadata_.integer(key("feed_forward_length"))},
        {"num_hidden_layers", metadata_.integer(key("block_count"))},
        {"num_attention_heads", num_heads()},
        {"num_key_value_heads", metadata_.integer(key("attention.head_count_kv"), num_heads())},
        {"head_dim", head_dim()},
        {"max_position_embeddings", context_length()},
        {"rms_norm_eps", metadata_.number(key("attention.layer_norm_rms_epsilon"))},
        {"tie_word_embeddings", find_tensor("output.weight") == nullptr},
        {"attention_bias", find_tensor("blk.0.attn_q.bias") != nullptr},
        {"mlp_bias", find_tensor("blk.0.ffn_down.bias") != nullptr},
        {"dtype", dtype()},
        {kQuantizedTensors, std::ranges::any_of(tensors_, is_quantized, &TensorInfo::dtype)},
    };
    add_window(config);
    add_rope(config);
    add_tokens(config);
    return config;
  }

 private:
  std::string key(std::string_view name) const {
    return fmt::format("{}.{}", architecture_.name, name);
  }

  const TensorInfo* find_tensor(std::string_view name) const {
    const auto found = std::ranges::find(tensors_, name, &TensorInfo::name);
    return found == tensors_.end() ? nullptr : &*found;
  }

  void require_supported() const {
    const auto num_experts = key("expert_count");
    if (metadata_.integer(num_experts, 0) > 0) {
      metadata_.fail(num_experts, "mixtures of experts are not supported");
    }
    const auto window = key("attention.sliding_window");
    const auto size = metadata_.integer(window, 0);
    if (!architecture_.slides_everywhere && size > 0 && size < context_length()) {
      metadata_.fail(window, "not supported: the file does not say which layers have it");
    }
  }

  /// Rows of the embedding: a model may have more than its tokenizer has tokens.
  int64_t vocab_size() const {
    constexpr std::string_view kName = "token_embd.weight";
    const auto* embedding = find_tensor(kName);
    if (embedding == nullptr) metadata_.fail(kName, "the tensor is missing");
    if (embedding->shape.size() != 2) {
      metadata_.fail(kName, fmt::format("expected a matrix, got a tensor of shape {}",
                                        shape_to_string(embedding->shape)));
    }
    return embedding->shape[0];
  }

  int64_t num_heads() const {
    const auto name = key("attention.head_count");
    const int64_t count = metadata_.integer(name);
    if (count < 1) metadata_.fail(name, fmt::format("expected at least 1, got {}", count));
    return count;
  }

  int64_t head_dim() const {
    const auto name = key("attention.key_length");
    const int64_t head_dim =
        metadata_.integer(name, metadata_.integer(key("embedding_length")) / num_heads());
    const int64_t value_dim = metadata_.integer(key("attention.value_length"), head_dim);
    if (head_dim < 1 || value_dim != head_dim) {
      metadata_.fail(name, fmt::format("keys of {} dimensions and values of {} are not supported",
                                       head_dim, value_dim));
    }
    return head_dim;
  }

  /// The first dimensions of each head, which RoPE turns.
  int64_t num_rotated() const { return metadata_.integer(key("rope.dimension_count"), head_dim()); }

  /// What matrices load as where they need not be wider; quantized ones, where they do not stay so,
  /// as bfloat16.
  std::string_view dtype() const {
    const auto count = [&](StoredDType dtype) {
      return std::ranges::count_if(tensors_, [&](const TensorInfo& tensor) {
        return tensor.shape.size() == 2 && tensor.dtype == dtype;
      });
    };
    if (count(StoredDType::kF32) > 0) return "float32";
    const auto num_matrices = std::ranges::count_if(
        tensors_, [](const TensorInfo& tensor) { return tensor.shape.size() == 2; });
    return count(StoredDType::kF16) == num_matrices ? "float16" : "bfloat16";
  }

  int64_t context_length() const { return metadata_.integer(key("context_length")); }

  /// 0 stands for none, and so does, where it may be refused, one that holds the whole context.
  void add_window(Json& config) const {
    const int64_t window = metadata_.integer(key("attention.sliding_window"), 0);
    const bool slides = architecture_.slides_everywhere && window > 0;
    config["sliding_window"] = slides ? Json(window) : Json();
    config["use_sliding_window"] = slides;
  }

  void add_rope(Json& config) const {
    const auto theta = key("rope.freq_base");
    if (metadata_.has(theta)) config["rope_theta"] = metadata_.number(theta);
    if (num_rotated() != head_dim()) {
      config["partial_rotary_factor"] =
          static_cast<double>(num_rotated()) / static_cast<double>(head_dim());
    }
    const auto original_context = key("rope.scaling.original_context_length");
    if (metadata_.has(original_context)) {
      config["original_max_position_embeddings"] = metadata_.integer(original_context);
    }
    auto scaling = rope_scaling();
    if (!scaling.is_null()) config["rope_scaling"] = std::move(scaling);
  }

  Json rope_scaling() const {
    if (const auto* factors = find_tensor("rope_freqs.weight")) {
      return {{"rope_type", kFrequencyFactors}, {"factors", read_factors(*factors)}};
    }
    // The files of Phi-3 do not name the type.
    constexpr std::string_view kLongFactors = "rope_factors_long.weight";
    if (find_tensor(kLongFactors) != nullptr) return longrope_scaling();
    const auto type = metadata_.text(key("rope.scaling.type"), "");
    if (type == "longrope") metadata_.fail(kLongFactors, "the tensor is missing");
    if (type == "yarn") return yarn_scaling();
    if (type.empty() || type == "linear") return linear_scaling();
    if (type == "none") return {};
    return {{"rope_type", type}, {"factor", metadata_.number(key("rope.scaling.factor"))}};
  }

  /// What a factor without a type means too, and its older name; 0 stands for none.
  Json linear_scaling() const {
    for (const auto* name : {"rope.scaling.factor", "rope.scale_linear"}) {
      const auto factor = key(name);
      if (metadata_.has(factor) && metadata_.number(factor) != 0) {
        return {{"rope_type", "linear"}, {"factor", metadata_.number(factor)}};
      }
    }
    return {};
  }

  Json longrope_scaling() const {
    Json scaling = {{"rope_type", "longrope"}};
    for (const auto* name : {"long", "short"}) {
      const auto* factors = find_tensor(fmt::format("rope_factors_{}.weight", name));
      if (factors != nullptr) scaling[fmt::format("{}_factor", name)] = read_factors(*factors);
    }
    copy_number("rope.scaling.attn_factor", scaling, "attention_factor");
    return scaling;
  }

  Json yarn_scaling() const {
    const auto extrapolation = key("rope.scaling.yarn_ext_factor");
    if (metadata_.has(extrapolation) && metadata_.number(extrapolation) != 1) {
      metadata_.fail(extrapolation, "others than 1 are not supported");
    }
    Json scaling = {{"rope_type", "yarn"},
                    {"factor", metadata_.number(key("rope.scaling.factor"))}};
    copy_number("rope.scaling.yarn_attn_factor", scaling, "attention_factor");
    copy_number("rope.scaling.yarn_beta_fast", scaling, "beta_fast");
    copy_number("rope.scaling.yarn_beta_slow", scaling, "beta_slow");
    const auto* log_multiplier = "rope.scaling.yarn_log_multiplier";
    if (metadata_.has(key(log_multiplier))) {
      scaling["mscale"] = 1;
      copy_number(log_multiplier, scaling, "mscale_all_dim");
    }
    return scaling;
  }

  /// If the metadata have it.
  void copy_number(std::string_view from, Json& config, const char* to) const {
    const auto name = key(from);
    if (metadata_.has(name)) config[to] = metadata_.number(name);
  }

  std::vector<double> read_factors(const TensorInfo& tensor) const {
    const int64_t num_pairs = num_rotated() / 2;
    if (tensor.dtype != StoredDType::kF32 || tensor.shape != std::vector<int64_t>{num_pairs}) {
      metadata_.fail(tensor.name,
                     fmt::format("expected F32 of shape [{}], got {} of shape {}", num_pairs,
                                 to_string(tensor.dtype), shape_to_string(tensor.shape)));
    }
    std::vector<double> factors;
    const auto bytes = file_.subspan(tensor.begin, tensor.end - tensor.begin);
    for (size_t at = 0; at < bytes.size(); at += sizeof(float)) {
      factors.push_back(std::bit_cast<float>(read_little_endian<uint32_t>(bytes.data() + at)));
    }
    return factors;
  }

  /// Text ends at EOS, and where a file tells them from it at the ends of turns and messages.
  void add_tokens(Json& config) const {
    constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
    if (metadata_.has(kBos)) config["bos_token_id"] = metadata_.integer(kBos);
    std::vector<int64_t> ends;
    for (const auto* name : {"eos", "eot", "eom"}) {
      const auto id = fmt::format("tokenizer.ggml.{}_token_id", name);
      if (!metadata_.has(id)) continue;
      const int64_t end = metadata_.integer(id);
      if (std::ranges::find(ends, end) == ends.end()) ends.push_back(end);
    }
    config["eos_token_id"] = ends;
  }

  const std::vector<TensorInfo>& tensors_;
  std::span<const std::byte> file_;
  const GgufMetadata& metadata_;
  const GgufArchitecture& architecture_;
};

}  // namespace

nlohmann::json gguf_config(const GgufHeader& header, std::span<const std::byte> file) {
  return ConfigBuilder(header, file).build();
}

}  // namespace prepack
