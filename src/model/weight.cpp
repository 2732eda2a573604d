#include "model/weight.h"

#include <ATen/ops/embedding.h>

#include "base/scalar_type.h"
#include "cuda/cuda_half.h"
#include "model/quantized_gpu_product.h"

namespace prepack {

int64_t out_features(const Weight& weight) {
  if (const auto* quantized = std::get_if<QuantizedWeight>(&weight)) {
    return quantized->out_features();
  }
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) return blocked->out_features();
  return std::get<at::Tensor>(weight).size(0);
}

int64_t nbytes(const Weight& weight) {
  if (const auto* quantized = std::get_if<QuantizedWeight>(&weight)) return quantized->nbytes();
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) return blocked->nbytes();
  return static_cast<int64_t>(std::get<at::Tensor>(weight).nbytes());
}

at::Tensor embed(const Weight& weight, const at::Tensor& ids) {
  if (const auto* quantized = std::get_if<QuantizedWeight>(&weight)) {
    return ids.is_cpu() ? quantized->gather(ids)
                        : gather_on_gpu(cuda_half(), *quantized, ids, at::kFloat);
  }
  return at::embedding(std::get<at::Tensor>(weight), ids);
}

Weight narrow(const Weight& weight, int64_t first, int64_t count) {
  if (const auto* quantized = std::get_if<QuantizedWeight>(&weight)) {
    return quantized->narrow(first, count);
  }
  if (const auto* blocked = std::get_if<BlockedWeight>(&weight)) {
    return blocked->narrow(first, count);
  }
  return std::get<at::Tensor>(weight).narrow(0, first, count);
}

Activations activations_of(const Weight& weight) {
  const auto* quantized = std::get_if<QuantizedWeight>(&weight);
  if (quantized == nullptr) return Activations::kAsComputed;
  return quantized->activations == Activations::kInt8 && !quantized->format.has_int8_products()
             ? Activations::kInt16
             : quantized->activations;
}

WeightRows weight_rows(const Weight& weight) {
  if (const auto* quantized = std::get_if<QuantizedWeight>(&weight)) return quantized->rows();
  const auto& tensor = std::get<at::Tensor>(weight);
  return PlainRows{from_scalar_type(tensor.scalar_type()), tensor.const_data_ptr()};
}

}  // namespace prepack
