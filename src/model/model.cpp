#include "prepack/model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>

#include <utility>

#include "base/scalar_type.h"
#include "model/decoder.h"
#include "model/native_products.h"

namespace prepack {

DType default_dtype(const ModelConfig& config, at::Device device) {
  const bool is_fast = !device.is_cpu() || has_native_products(to_scalar_type(config.dtype));
  return is_fast ? config.dtype : DType::kFloat32;
}

Model::Model(ModelConfig config, DType dtype, at::Device device,
             std::shared_ptr<const Decoder> decoder)
    : config_(std::move(config)), dtype_(dtype), device_(device), decoder_(std::move(decoder)) {}

at::Tensor Model::forward(const ForwardInput& input, KvCache& cache) const {
  const at::NoGradGuard no_grad;
  auto hidden = at::embedding(decoder_->embed_tokens, input.input_ids);
  const auto rope = decoder_->rope.table(input.position_ids, to_scalar_type(dtype_));
  for (size_t i = 0; i < decoder_->layers.size(); ++i) {
    run_layer(decoder_->layers[i], static_cast<int64_t>(i), config_, input, rope, cache, hidden);
  }
  return decoder_->norm(hidden);
}

at::Tensor Model::compute_logits(const at::Tensor& hidden) const {
  const at::NoGradGuard no_grad;
  return decoder_->lm_head(hidden).to(at::kFloat);
}

}  // namespace prepack
