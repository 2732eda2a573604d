#include "model/decoder.h"

#include <ATen/ops/silu.h>

#include <variant>

namespace prepack {
namespace {

/// Keys and values of these tokens go to the cache in every case. A prefill attends to the keys
/// at hand; a decode step attends to the whole of each cache row.
at::Tensor attend_through_cache(const at::Tensor& queries, const at::Tensor& keys,
                                const at::Tensor& values, const ForwardInput& input, int64_t layer,
                                KvCache& cache) {
  cache.write(layer, keys, values, input.cache_slots);
  if (const auto* spec = std::get_if<CacheAttention>(&input.attention)) {
    return attend(queries, cache.keys(layer, spec->num_rows, spec->num_slots),
                  cache.values(layer, spec->num_rows, spec->num_slots), *spec);
  }
  if (const auto* spec = std::get_if<VarlenAttention>(&input.attention)) {
    return attend(queries, keys, values, *spec);
  }
  if (const auto* spec = std::get_if<CausalAttention>(&input.attention)) {
    return attend(queries, keys, values, *spec);
  }
  return attend(queries, keys, values, std::get<MaskedAttention>(input.attention));
}

}  // namespace

at::Tensor Mlp::operator()(const at::Tensor& hidden) const {
  auto gate = gate_proj(hidden);
  return down_proj(at::silu_(gate).mul_(up_proj(hidden)));
}

void run_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
               const ForwardInput& input, const RopeTable& rope, KvCache& cache,
               at::Tensor& hidden) {
  const int64_t num_tokens = hidden.size(0);
  {
    const auto& attention = layer.self_attn;
    const auto normed = layer.input_layernorm(hidden);
    const auto heads = [&](const Linear& projection, int64_t num_heads) {
      return projection(normed).view({num_tokens, num_heads, config.head_dim});
    };
    const auto queries = apply_rope(heads(attention.q_proj, config.num_heads), rope);
    const auto keys = apply_rope(heads(attention.k_proj, config.num_kv_heads), rope);
    const auto values = heads(attention.v_proj, config.num_kv_heads);
    const auto attended = attend_through_cache(queries, keys, values, input, layer_index, cache);
    hidden.add_(attention.o_proj(attended.view({num_tokens, -1})));
  }
  hidden.add_(layer.mlp(layer.post_attention_layernorm(hidden)));
}

}  // namespace prepack
