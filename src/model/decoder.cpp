#include "model/decoder.h"

#include <utility>
#include <variant>

#include "base/profile.h"
#include "model/swiglu.h"
#include "model/turn_and_store.h"

namespace prepack {
namespace {

/// [num_tokens, num_heads * head_dim] -> view [num_tokens, num_heads, head_dim].
at::Tensor as_heads(const at::Tensor& projected, int64_t head_dim) {
  return projected.unflatten(1, {-1, head_dim});
}

/// A prefill by one of the dense forms attends to the keys at hand, everything else to the cache.
at::Tensor attend_with_spec(const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values, const AttentionSpec& attention, int64_t layer,
                            const KvCache& cache) {
  const ProfiledPart part(Part::kAttention);
  if (const auto* spec = std::get_if<VarlenAttention>(&attention)) {
    return attend(queries, cache.keys(layer), cache.values(layer), *spec);
  }
  if (const auto* spec = std::get_if<CacheAttention>(&attention)) {
    return attend(queries, cache.keys(layer, spec->num_rows, spec->num_slots),
                  cache.values(layer, spec->num_rows, spec->num_slots), *spec);
  }
  if (const auto* spec = std::get_if<CausalAttention>(&attention)) {
    return attend(queries, keys, values, *spec);
  }
  return attend(queries, keys, values, std::get<MaskedAttention>(attention));
}

/// @return the attention's output [num_tokens, num_heads, head_dim]; keys and values are in the cache
at::Tensor self_attention(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
                          const ForwardInput& input, const RopeTable& rope, KvCache& cache,
                          const at::Tensor& hidden) {
  const auto heads = profiled(Part::kQkvProj, [&] {
    return as_heads(layer.self_attn.qkv_proj(layer.input_layernorm(hidden)), config.head_dim);
  });
  const auto queries = heads.narrow(1, 0, config.num_heads);
  const auto keys = heads.narrow(1, config.num_heads, config.num_kv_heads);
  const auto values = heads.narrow(1, config.num_heads + config.num_kv_heads, config.num_kv_heads);
  if (layer.self_attn.q_norm) layer.self_attn.q_norm->normalise_heads(queries);
  if (layer.self_attn.k_norm) layer.self_attn.k_norm->normalise_heads(keys);
  turn_and_store(heads, config.num_heads, config.has_rope(layer_index) ? &rope : nullptr, cache,
                 layer_index, input.cache_slots);
  return attend_with_spec(queries, keys, values, input.attention, layer_index, cache);
}

/// The same of the output tokens alone.
at::Tensor last_self_attention(const DecoderLayer& layer, int64_t layer_index,
                               const ModelConfig& config, const ForwardInput& input,
                               const RopeTable& rope, KvCache& cache, const at::Tensor& hidden) {
  const auto& outputs = *input.output_tokens;
  const auto& attention = std::get<VarlenAttention>(input.attention);
  TORCH_CHECK(outputs.numel() == 0 || outputs.numel() == std::ssize(attention.num_keys),
              "forward: ", outputs.numel(), " output tokens for ", attention.num_keys.size(),
              " sequences");
  const auto& qkv_proj = layer.self_attn.qkv_proj;
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  const auto normed = layer.input_layernorm(hidden);
  const auto heads = profiled(Part::kQkvProj, [&] {
    return as_heads(qkv_proj.rows(query_size, 2 * key_size)(normed), config.head_dim);
  });
  const auto keys = heads.narrow(1, 0, config.num_kv_heads);
  if (layer.self_attn.k_norm) layer.self_attn.k_norm->normalise_heads(keys);
  turn_and_store(heads, /*num_query_heads=*/0, config.has_rope(layer_index) ? &rope : nullptr,
                 cache, layer_index, input.cache_slots);
  const auto queries = profiled(Part::kQkvProj, [&] {
    return as_heads(qkv_proj.rows(0, query_size)(normed.index_select(0, outputs)), config.head_dim);
  });
  if (outputs.numel() == 0) return queries;
  if (layer.self_attn.q_norm) layer.self_attn.q_norm->normalise_heads(queries);
  if (config.has_rope(layer_index)) apply_rope(queries, rope.of_tokens(outputs));
  const ProfiledPart part(Part::kAttention);
  return attend(queries, cache.keys(layer_index), cache.values(layer_index),
                attention.of_last_queries());
}

void finish_layer(const DecoderLayer& layer, at::Tensor attended, at::Tensor& hidden) {
  profiled(Part::kOProj, [&] { layer.self_attn.o_proj.add_to(attended.flatten(1), hidden); });
  attended.reset();  // its memory is the MLP's
  layer.mlp.add_to(layer.post_attention_layernorm(hidden), hidden);
}

}  // namespace

void Mlp::add_to(const at::Tensor& input, at::Tensor& sum) const {
  const auto gate_up = profiled(Part::kGateUpProj, [&] { return gate_up_proj(input); });
  const ProfiledPart part(Part::kDownProj);
  down_proj.add_to(swiglu(gate_up), sum);
}

void run_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
               const ForwardInput& input, const RopeTable& rope, KvCache& cache,
               at::Tensor& hidden) {
  finish_layer(layer, self_attention(layer, layer_index, config, input, rope, cache, hidden),
               hidden);
}

void run_last_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
                    const ForwardInput& input, const RopeTable& rope, KvCache& cache,
                    at::Tensor& hidden) {
  auto attended = last_self_attention(layer, layer_index, config, input, rope, cache, hidden);
  hidden = hidden.index_select(0, *input.output_tokens);
  if (hidden.size(0) > 0) finish_layer(layer, std::move(attended), hidden);
}

}  // namespace prepack
