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
/// @param attended  where VarlenAttention puts its result on a CPU; others make a tensor of their own
at::Tensor attend_with_spec(const at::Tensor& queries, const at::Tensor& keys,
                            const at::Tensor& values, const AttentionSpec& attention, int64_t layer,
                            const KvCache& cache, const at::Tensor& attended) {
  const ProfiledPart part(Part::kAttention);
  if (const auto* spec = std::get_if<VarlenAttention>(&attention)) {
    return attend(queries, cache.keys(layer), cache.values(layer), *spec, attended);
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
                          LayerBuffers& buffers, const at::Tensor& hidden) {
  layer.input_layernorm.write_to(hidden, buffers.normed);
  profiled(Part::kQkvProj, [&] { layer.self_attn.qkv_proj.write_to(buffers.normed, buffers.qkv); });
  const auto heads = as_heads(buffers.qkv, config.head_dim);
  const auto queries = heads.narrow(1, 0, config.num_heads);
  const auto keys = heads.narrow(1, config.num_heads, config.num_kv_heads);
  const auto values = heads.narrow(1, config.num_heads + config.num_kv_heads, config.num_kv_heads);
  if (layer.self_attn.q_norm) layer.self_attn.q_norm->normalise_heads(queries);
  if (layer.self_attn.k_norm) layer.self_attn.k_norm->normalise_heads(keys);
  turn_and_store(heads, config.num_heads, config.has_rope(layer_index) ? &rope : nullptr, cache,
                 layer_index, input.cache_slots);
  return attend_with_spec(queries, keys, values, input.attention, layer_index, cache,
                          buffers.attended);
}

/// The same of the output tokens alone.
at::Tensor last_self_attention(const DecoderLayer& layer, int64_t layer_index,
                               const ModelConfig& config, const ForwardInput& input,
                               const RopeTable& rope, KvCache& cache, LayerBuffers& buffers,
                               const at::Tensor& hidden) {
  const auto& outputs = *input.output_tokens;
  const auto& attention = std::get<VarlenAttention>(input.attention);
  TORCH_CHECK(outputs.numel() == 0 || outputs.numel() == std::ssize(attention.num_keys),
              "forward: ", outputs.numel(), " output tokens for ", attention.num_keys.size(),
              " sequences");
  const auto& qkv_proj = layer.self_attn.qkv_proj;
  const int64_t query_size = config.num_heads * config.head_dim;
  const int64_t key_size = config.num_kv_heads * config.head_dim;
  layer.input_layernorm.write_to(hidden, buffers.normed);
  auto keys_values = buffers.qkv.flatten()
                         .narrow(0, 0, hidden.size(0) * 2 * key_size)
                         .view({hidden.size(0), 2 * key_size});
  profiled(Part::kQkvProj,
           [&] { qkv_proj.rows(query_size, 2 * key_size).write_to(buffers.normed, keys_values); });
  const auto heads = as_heads(keys_values, config.head_dim);
  const auto keys = heads.narrow(1, 0, config.num_kv_heads);
  if (layer.self_attn.k_norm) layer.self_attn.k_norm->normalise_heads(keys);
  turn_and_store(heads, /*num_query_heads=*/0, config.has_rope(layer_index) ? &rope : nullptr,
                 cache, layer_index, input.cache_slots);
  const auto queries = profiled(Part::kQkvProj, [&] {
    return as_heads(qkv_proj.rows(0, query_size)(buffers.normed.index_select(0, outputs)),
                    config.head_dim);
  });
  if (outputs.numel() == 0) return queries;
  if (layer.self_attn.q_norm) layer.self_attn.q_norm->normalise_heads(queries);
  if (config.has_rope(layer_index)) apply_rope(queries, rope.of_tokens(outputs));
  const ProfiledPart part(Part::kAttention);
  return attend(queries, cache.keys(layer_index), cache.values(layer_index),
                attention.of_last_queries());
}

void finish_layer(const DecoderLayer& layer, at::Tensor attended, LayerBuffers& buffers,
                  at::Tensor& hidden) {
  profiled(Part::kOProj, [&] { layer.self_attn.o_proj.add_to(attended.flatten(1), hidden); });
  attended.reset();  // frees what is not in the buffers
  layer.post_attention_layernorm.write_to(hidden, buffers.normed);
  layer.mlp.add_to(buffers, hidden);
}

}  // namespace

void Mlp::add_to(LayerBuffers& buffers, at::Tensor& sum) const {
  const bool is_gated = gate_up_proj.can_gate(buffers.normed);
  profiled(Part::kGateUpProj, [&] {
    is_gated ? gate_up_proj.write_gated_to(buffers.normed, buffers.gated)
             : gate_up_proj.write_to(buffers.normed, buffers.gate_up);
  });
  const ProfiledPart part(Part::kDownProj);
  if (!is_gated) swiglu(buffers.gate_up, buffers.gated);
  down_proj.add_to(buffers.gated, sum);
}

void run_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
               const ForwardInput& input, const RopeTable& rope, KvCache& cache,
               LayerBuffers& buffers, at::Tensor& hidden) {
  finish_layer(layer,
               self_attention(layer, layer_index, config, input, rope, cache, buffers, hidden),
               buffers, hidden);
}

void run_last_layer(const DecoderLayer& layer, int64_t layer_index, const ModelConfig& config,
                    const ForwardInput& input, const RopeTable& rope, KvCache& cache,
                    LayerBuffers& buffers, at::Tensor& hidden) {
  auto attended =
      last_self_attention(layer, layer_index, config, input, rope, cache, buffers, hidden);
  hidden = hidden.index_select(0, *input.output_tokens);
  if (hidden.size(0) == 0) return;
  // Whose queries have been read. A shape that is filled up may have more outputs than tokens, and
  // products of fewer tokens may not gate.
  const bool has_room = hidden.size(0) <= buffers.normed.size(0) &&
                        (buffers.gate_up.defined() || layer.mlp.gate_up_proj.can_gate(hidden));
  auto of_outputs = has_room ? buffers.first(hidden.size(0))
                             : LayerBuffers(config, hidden.size(0), hidden.options());
  finish_layer(layer, std::move(attended), of_outputs, hidden);
}

}  // namespace prepack
