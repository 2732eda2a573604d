#include "weights/gguf_architecture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "weights/json.h"

namespace prepack {
namespace {

constexpr std::array kArchitectures = {
    GgufArchitecture{"llama", "LlamaForCausalLM", true},  // and Mistral's
    GgufArchitecture{"qwen2", "Qwen2ForCausalLM", false},
    GgufArchitecture{"qwen3", "Qwen3ForCausalLM", false},
    GgufArchitecture{"phi3", "Phi3ForCausalLM", false, "mlp.gate_up_proj", true},
    GgufArchitecture{"smollm3", "SmolLM3ForCausalLM", true},
};

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array kModelNames = {
    Names{"token_embd", "model.embed_tokens"},
    Names{"output_norm", "model.norm"},
    Names{"output", "lm_head"},
};

constexpr std::array kLayerNames = {
    Names{"attn_norm", "input_layernorm"},
    Names{"attn_q", "self_attn.q_proj"},
    Names{"attn_k", "self_attn.k_proj"},
    Names{"attn_v", "self_attn.v_proj"},
    Names{"attn_qkv", "self_attn.qkv_proj"},
    Names{"attn_q_norm", "self_attn.q_norm"},
    Names{"attn_k_norm", "self_attn.k_norm"},
    Names{"attn_output", "self_attn.o_proj"},
    Names{"ffn_norm", "post_attention_layernorm"},
    Names{"ffn_gate", "mlp.gate_proj"},
    Names{"ffn_down", "mlp.down_proj"},
};

template <size_t kSize>
std::optional<std::string_view> look_up(const std::array<Names, kSize>& table,
                                        std::string_view name) {
  const auto found = std::ranges::find(table, name, &Names::first);
  return found == table.end() ? std::nullopt : std::optional(found->second);
}

/// Cuts at the first point: "blk" off "blk.3.attn_q.weight".
std::string_view take_part(std::string_view& name) {
  const auto end = std::min(name.find('.'), name.size());
  const auto part = name.substr(0, end);
  name.remove_prefix(std::min(end + 1, name.size()));
  return part;
}

}  // namespace

const GgufArchitecture& find_architecture(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.architecture";
  const auto name = metadata.text(kKey);
  const auto found = std::ranges::find(kArchitectures, name, &GgufArchitecture::name);
  if (found == kArchitectures.end()) {
    std::vector<std::string_view> supported;
    for (const auto& known : kArchitectures) supported.push_back(known.name);
    metadata.fail(kKey, fmt::format("expected one of {}, got {}", fmt::join(supported, ", "),
                                    printable(name)));
  }
  return *found;
}

std::string hugging_face_name(const GgufArchitecture& architecture, std::string_view gguf_name) {
  std::string_view rest = gguf_name;
  auto part = take_part(rest);
  if (part != "blk") {
    const auto name = look_up(kModelNames, part);
    return name ? fmt::format("{}.{}", *name, rest) : std::string(gguf_name);
  }
  const auto layer = take_part(rest);
  part = take_part(rest);
  const auto name =
      part == "ffn_up" ? std::optional(architecture.ffn_up) : look_up(kLayerNames, part);
  return name ? fmt::format("model.layers.{}.{}.{}", layer, *name, rest) : std::string(gguf_name);
}

int64_t num_interleaved_heads(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                              std::string_view name) {
  if (!architecture.interleaves_heads) return 0;
  const auto num_heads = fmt::format("{}.attention.head_count", architecture.name);
  if (name.find(".self_attn.q_proj.") != std::string_view::npos) return metadata.integer(num_heads);
  if (name.find(".self_attn.k_proj.") == std::string_view::npos) return 0;
  return metadata.integer(num_heads + "_kv", metadata.integer(num_heads));
}

bool is_config_tensor(std::string_view gguf_name) {
  return gguf_name == "rope_freqs.weight" || gguf_name == "rope_factors_short.weight" ||
         gguf_name == "rope_factors_long.weight";
}

}  // namespace prepack
