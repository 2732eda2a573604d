#include "model/rope.h"

#include <ATen/ops/cos.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <numbers>

namespace prepack {
namespace {

/// Low frequencies, whose wavelength exceeds the original context, are divided by the factor;
/// high ones are kept; between them the two are mixed linearly in the number of turns they make.
/// Ref: transformers modeling_rope_utils, _compute_llama3_parameters.
float scale_llama3(float frequency, const Llama3RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto context = static_cast<double>(scaling.original_max_position_embeddings);
  const double turns = context / wavelength;
  if (turns < scaling.low_freq_factor) return static_cast<float>(frequency / scaling.factor);
  if (turns > scaling.high_freq_factor) return frequency;
  const double keep =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return static_cast<float>((1 - keep) * frequency / scaling.factor + keep * frequency);
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, int64_t head_dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const auto exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    float frequency = 1.0F / std::pow(static_cast<float>(config.theta), exponent);
    if (const auto* linear = std::get_if<LinearRopeScaling>(&config.scaling)) {
      frequency /= static_cast<float>(linear->factor);
    } else if (const auto* llama3 = std::get_if<Llama3RopeScaling>(&config.scaling)) {
      frequency = scale_llama3(frequency, *llama3);
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

Rope::Rope(const RopeConfig& config, int64_t head_dim, at::Device device)
    : frequencies_(at::tensor(rope_frequencies(config, head_dim), at::kFloat).to(device)) {}

RopeTable Rope::table(const at::Tensor& position_ids, at::ScalarType dtype) const {
  const auto angles = position_ids.to(at::kFloat).unsqueeze(1).mul(frequencies_).unsqueeze(1);
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

at::Tensor apply_rope(const at::Tensor& heads, const RopeTable& table) {
  const int64_t half = heads.size(2) / 2;
  const auto first = heads.narrow(2, 0, half);
  const auto second = heads.narrow(2, half, half);
  auto turned = at::empty_like(heads, at::MemoryFormat::Contiguous);
  auto turned_first = turned.narrow(2, 0, half);
  auto turned_second = turned.narrow(2, half, half);
  at::mul_out(turned_first, first, table.cos).sub_(second.mul(table.sin));
  at::mul_out(turned_second, second, table.cos).add_(first.mul(table.sin));
  return turned;
}

}  // namespace prepack
