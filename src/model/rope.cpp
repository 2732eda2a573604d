#include "model/rope.h"

#include <ATen/ops/cos.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <numbers>

#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/rope.h"

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
    } else if (const auto* listed = std::get_if<FrequencyFactors>(&config.scaling)) {
      frequency /= static_cast<float>(listed->factors.at(static_cast<size_t>(i / 2)));
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

Rope::Rope(const RopeConfig& config, int64_t head_dim, at::Device device)
    : frequencies_(at::tensor(rope_frequencies(config, head_dim), at::kFloat).to(device)) {}

RopeTable Rope::table(const at::Tensor& position_ids) const {
  const auto angles = position_ids.to(at::kFloat).unsqueeze(1).mul(frequencies_);
  return {angles.cos(), angles.sin()};
}

RopeTable RopeTable::of_tokens(const at::Tensor& tokens) const {
  return {cos.index_select(0, tokens), sin.index_select(0, tokens)};
}

namespace {

void apply_rope_with_libtorch(const at::Tensor& heads, const RopeTable& table) {
  const int64_t half = heads.size(2) / 2;
  const auto cos = table.cos.unsqueeze(1);
  const auto sin = table.sin.unsqueeze(1);
  const auto first = heads.narrow(2, 0, half);
  const auto second = heads.narrow(2, half, half);
  const auto turned_first = first.mul(cos).sub_(second.mul(sin));
  second.copy_(second.mul(cos).add_(first.mul(sin)));
  first.copy_(turned_first);
}

}  // namespace

void apply_rope(const at::Tensor& heads, const RopeTable& table) {
  if (!heads.is_cpu()) return apply_rope_with_libtorch(heads, table);
  const auto dtype = from_scalar_type(heads.scalar_type());
  const int64_t num_heads = heads.size(1);
  const int64_t head_dim = heads.size(2);
  const int64_t half = head_dim / 2;
  const auto* cos = table.cos.const_data_ptr<float>();
  const auto* sin = table.sin.const_data_ptr<float>();
  parallel_rows(heads.size(0), num_heads * head_dim, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      auto* of_token = row_address(heads, token);
      turn_heads(dtype, of_token, cos + token * half, sin + token * half, of_token, num_heads,
                 head_dim);
    }
  });
}

}  // namespace prepack
