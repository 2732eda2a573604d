#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "attention/grouped_heads.h"
#include "prepack/attention.h"

namespace prepack {
namespace {

/// Numbers of segments that one thread computes.
using Share = std::vector<int64_t>;

/// Shares of about the same cost: the longest segments first, always to the share with the least.
/// A single share where one segment is too long for that: the kernel's own threads then share each
/// segment's heads, which costs more for short ones.
std::vector<Share> share_segments(const std::vector<int32_t>& cu_seqlens, int64_t num_threads) {
  const auto cost = [&](int64_t segment) {
    const double length = cu_seqlens[segment + 1] - cu_seqlens[segment];
    constexpr double kCall = 64;  // what is linear in the length, in tokens attended to
    return length * (length + kCall);
  };
  Share segments(cu_seqlens.size() - 1);
  std::iota(segments.begin(), segments.end(), 0);
  auto by_cost = segments;
  std::ranges::stable_sort(by_cost, std::greater(), cost);
  std::vector<Share> shares(num_threads);
  std::vector<double> costs(num_threads, 0);
  for (int64_t segment : by_cost) {
    const auto least = std::ranges::min_element(costs) - costs.begin();
    shares[least].push_back(segment);
    costs[least] += cost(segment);
  }
  constexpr double kUneven = 1.1;
  const double mean = std::reduce(costs.begin(), costs.end()) / static_cast<double>(num_threads);
  if (*std::ranges::max_element(costs) > kUneven * mean) return {segments};
  return shares;
}

}  // namespace

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const VarlenAttention& spec) {
  const int64_t num_kv_heads = keys.size(1);
  const int64_t group = queries.size(1) / num_kv_heads;
  auto attended = at::empty_like(queries);
  const auto attend_segment = [&](int64_t segment) {
    const int64_t start = spec.cu_seqlens[segment];
    const int64_t length = spec.cu_seqlens[segment + 1] - start;
    const auto result = at::scaled_dot_product_attention(
        group_queries(queries.narrow(0, start, length), num_kv_heads),
        group_keys(keys.narrow(0, start, length), group),
        group_keys(values.narrow(0, start, length), group), /*attn_mask=*/{}, /*dropout_p=*/0.0,
        /*is_causal=*/true);
    group_queries(attended.narrow(0, start, length), num_kv_heads).copy_(result);
  };
  const int64_t num_threads = queries.is_cpu() ? at::get_num_threads() : 1;
  const auto shares = share_segments(spec.cu_seqlens, num_threads);
  if (shares.size() == 1) {
    std::ranges::for_each(shares.front(), attend_segment);
    return attended;
  }
  at::parallel_for(0, std::ssize(shares), /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;  // each thread has its own
    for (int64_t i = begin; i < end; ++i) std::ranges::for_each(shares[i], attend_segment);
  });
  return attended;
}

}  // namespace prepack
