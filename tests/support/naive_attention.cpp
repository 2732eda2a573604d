#include "support/naive_attention.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace prepack::testing {

at::Tensor naive_attention(const at::Tensor& queries, const at::Tensor& keys,
                           const at::Tensor& values, const VisibleKeys& visible) {
  const auto wide_queries = queries.to(at::kDouble).contiguous();
  const auto wide_keys = keys.to(at::kDouble).contiguous();
  const auto wide_values = values.to(at::kDouble).contiguous();
  const int64_t num_heads = queries.size(1);
  const int64_t num_kv_heads = keys.size(1);
  const int64_t head_dim = queries.size(2);
  auto attended = at::zeros(queries.sizes(), at::kDouble);
  for (int64_t i = 0; i < std::ssize(visible); ++i) {
    for (int64_t head = 0; head < num_heads; ++head) {
      const int64_t kv_head = head / (num_heads / num_kv_heads);
      const auto* query = wide_queries.data_ptr<double>() + (i * num_heads + head) * head_dim;
      const auto* key = wide_keys.data_ptr<double>() + kv_head * head_dim;
      const auto* value = wide_values.data_ptr<double>() + kv_head * head_dim;
      const int64_t stride = num_kv_heads * head_dim;
      std::vector<double> weights;
      double largest = -std::numeric_limits<double>::infinity();
      for (int64_t j : visible[i]) {
        double score = 0;
        for (int64_t d = 0; d < head_dim; ++d) score += query[d] * key[j * stride + d];
        weights.push_back(score / std::sqrt(static_cast<double>(head_dim)));
        largest = std::max(largest, weights.back());
      }
      double total = 0;
      for (auto& weight : weights) total += weight = std::exp(weight - largest);
      auto* out = attended.data_ptr<double>() + (i * num_heads + head) * head_dim;
      for (size_t n = 0; n < weights.size(); ++n) {
        const auto* of_key = value + visible[i][n] * stride;
        for (int64_t d = 0; d < head_dim; ++d) out[d] += weights[n] / total * of_key[d];
      }
    }
  }
  return attended;
}

std::vector<int64_t> key_slots(const VarlenAttention& spec, size_t sequence) {
  std::vector<int64_t> slots;
  if (sequence < spec.beginnings.size()) {
    for (const auto& run : spec.beginnings[sequence]) {
      for (int64_t i = 0; i < run.num_slots; ++i) slots.push_back(run.first_slot + i);
    }
  }
  for (int64_t slot = spec.first_keys[sequence]; std::ssize(slots) < spec.num_keys[sequence];) {
    slots.push_back(slot++);
  }
  return slots;
}

VisibleKeys visible_keys(const VarlenAttention& spec) {
  VisibleKeys visible;
  for (size_t s = 0; s < spec.num_keys.size(); ++s) {
    const int64_t num_queries = spec.cu_seqlens[s + 1] - spec.cu_seqlens[s];
    const auto slots = key_slots(spec, s);
    for (int64_t i = 0; i < num_queries; ++i) {
      // The last query is that of the last key.
      const int64_t position = spec.num_keys[s] - num_queries + i;
      auto& keys = visible.emplace_back();
      for (int64_t j = 0; j <= position; ++j) {
        if (position - j < spec.window) keys.push_back(slots[j]);
      }
    }
  }
  return visible;
}

}  // namespace prepack::testing
