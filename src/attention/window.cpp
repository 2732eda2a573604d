#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>

#include <algorithm>

#include "attention/window_mask.h"
#include "prepack/attention.h"

namespace prepack {
namespace {

AttentionSpec narrow(const MaskedAttention& spec, int64_t window) {
  const int64_t row_len = spec.mask.size(3);
  if (window >= row_len) return spec;
  return MaskedAttention{spec.mask.logical_and(window_mask(row_len, window, spec.mask.device()))};
}

AttentionSpec narrow(CausalAttention spec, int64_t window) {
  spec.window = window;
  return spec;
}

AttentionSpec narrow(VarlenAttention spec, int64_t window) {
  spec.window = window;
  return spec;
}

AttentionSpec narrow(CacheAttention spec, int64_t window) {
  if (window >= spec.num_slots) return spec;
  // A row's tokens fill its slots from the first on, and the last of them is the query's own.
  const auto num_tokens = spec.mask.sum(3, /*keepdim=*/true);
  const auto slots = at::arange(spec.num_slots, num_tokens.options());
  spec.mask = spec.mask.logical_and(slots.ge(num_tokens.sub(window)));
  return spec;
}

}  // namespace

at::Tensor window_mask(int64_t row_len, int64_t window, at::Device device) {
  // Diagonals further away than the corners are all the same.
  const int64_t reach = std::min(window, row_len);
  return at::ones({row_len, row_len}, at::TensorOptions().dtype(at::kBool).device(device))
      .tril_()
      .triu_(1 - reach);
}

AttentionSpec with_window(const AttentionSpec& spec, int64_t window) {
  TORCH_CHECK(window >= 1, "attention: a window of ", window);
  return std::visit([&](const auto& any) { return narrow(any, window); }, spec);
}

}  // namespace prepack
