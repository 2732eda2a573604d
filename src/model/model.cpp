#include "prepack/model.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "base/mapped_tensor.h"
#include "base/profile.h"
#include "base/scalar_type.h"
#include "model/decoder.h"
#include "model/native_products.h"

namespace prepack {

DType default_dtype(const ModelConfig& config, at::Device device) {
  const bool is_fast = !device.is_cpu() || has_native_products(to_scalar_type(config.dtype));
  return is_fast ? config.dtype : DType::kFloat32;
}

Model::Model(ModelConfig config, DType dtype, at::Device device,
             std::shared_ptr<const Decoder> decoder, std::optional<Quantization> quantization,
             Activations activations)
    : config_(std::move(config)),
      dtype_(dtype),
      device_(device),
      decoder_(std::move(decoder)),
      quantization_(quantization),
      activations_(activations) {}

namespace {

/// The same input for the layers of each sliding window, by its length.
std::map<int64_t, ForwardInput> windowed_inputs(const ModelConfig& config,
                                                const ForwardInput& input) {
  std::map<int64_t, ForwardInput> inputs;
  for (int64_t window : config.distinct_windows()) {
    auto& windowed = inputs.emplace(window, input).first->second;
    windowed.attention = with_window(input.attention, window);
  }
  return inputs;
}

int64_t bytes_of(const RmsNorm& norm) { return static_cast<int64_t>(norm.weight.nbytes()); }

int64_t bytes_of(const Linear& linear) {
  int64_t bytes = nbytes(linear.weight);
  for (const auto& tensor : {linear.bias, linear.input_order}) {
    if (tensor) bytes += static_cast<int64_t>(tensor->nbytes());
  }
  return bytes;
}

int64_t bytes_of(const DecoderLayer& layer) {
  int64_t bytes = bytes_of(layer.input_layernorm) + bytes_of(layer.post_attention_layernorm);
  for (const auto* product : products_of(layer)) bytes += bytes_of(*product);
  for (const auto& norm : {layer.self_attn.q_norm, layer.self_attn.k_norm}) {
    if (norm) bytes += bytes_of(*norm);
  }
  return bytes;
}

}  // namespace

bool Model::has_blocked_weights() const {
  const auto is_blocked = [](const Linear* product) {
    return std::holds_alternative<BlockedWeight>(product->weight);
  };
  return std::ranges::any_of(decoder_->layers, [&](const DecoderLayer& layer) {
    return std::ranges::any_of(products_of(layer), is_blocked);
  });
}

int64_t Model::weight_bytes() const {
  const bool is_shared = config_.tie_word_embeddings;
  return step_weight_bytes() + (is_shared ? 0 : nbytes(decoder_->embed_tokens));
}

int64_t Model::step_weight_bytes() const {
  int64_t bytes = bytes_of(decoder_->norm) + bytes_of(decoder_->lm_head);
  for (const auto& layer : decoder_->layers) bytes += bytes_of(layer);
  return bytes;
}

at::Tensor Model::forward(const ForwardInput& input, KvCache& cache) const {
  const at::NoGradGuard no_grad;
  auto hidden = profiled(Part::kEmbedding, [&] {
    return embed(decoder_->embed_tokens, input.input_ids).to(to_scalar_type(dtype_));
  });
  const auto rope = decoder_->rope.table(input.position_ids, input.sequence_lens);
  // The dense forms are there to be compared with, and compute what ordinary batching does.
  const bool is_pruned =
      input.output_tokens && std::holds_alternative<VarlenAttention>(input.attention);
  const auto windowed = windowed_inputs(config_, input);
  const bool are_gated = std::ranges::all_of(decoder_->layers, [&](const DecoderLayer& layer) {
    return layer.mlp.gate_up_proj.can_gate(hidden);
  });
  LayerBuffers buffers(config_, hidden.size(0), hidden.options(), /*has_gate_up=*/!are_gated);
  const auto num_layers = static_cast<int64_t>(decoder_->layers.size());
  for (int64_t i = 0; i < num_layers; ++i) {
    const auto run = is_pruned && i == num_layers - 1 ? run_last_layer : run_layer;
    const auto window = config_.sliding_window(i);
    run(decoder_->layers[i], i, config_, window ? windowed.at(*window) : input, rope, cache,
        buffers, hidden);
  }
  if (input.output_tokens && !is_pruned) hidden = hidden.index_select(0, *input.output_tokens);
  return decoder_->norm(hidden);
}

at::Tensor Model::compute_logits(const at::Tensor& hidden) const {
  const at::NoGradGuard no_grad;
  const ProfiledPart part(Part::kLmHead);
  // Products that compute in float32 can write that at once.
  const bool is_wide = hidden.is_cpu() && !has_native_products(hidden.scalar_type());
  auto logits = scratch({hidden.size(0), config_.vocab_size},
                        is_wide ? hidden.options().dtype(at::kFloat) : hidden.options());
  decoder_->lm_head.write_to(hidden, logits);
  if (logits.scalar_type() == at::kFloat) return logits;
  auto wide = scratch(logits.sizes(), hidden.options().dtype(at::kFloat));
  return wide.copy_(logits);
}

}  // namespace prepack
