#include "attention/flash_attention.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

#include "base/upload.h"

namespace prepack {

bool has_varlen_kernel(at::Device device, at::ScalarType dtype, int64_t head_dim) {
  if (device.is_cpu()) return true;
  // What LibTorch's FlashAttention is compiled for.
  return (dtype == at::kHalf || dtype == at::kBFloat16) && head_dim % 8 == 0 && head_dim <= 256;
}

std::vector<at::Tensor> VarlenAttention::host_tensors() const {
  TORCH_CHECK(beginnings.empty(), "attention: a GPU's reads one run of keys per sequence");
  const auto num_sequences = std::ssize(num_keys);
  std::vector<int32_t> starts(first_keys.begin(), first_keys.end());
  starts.push_back(0);  // the end of the last, which is not read
  return {at::tensor(cu_seqlens, at::kInt), at::arange(num_sequences + 1, at::kInt),
          at::tensor(starts, at::kInt),
          at::tensor(std::vector<int32_t>(num_keys.begin(), num_keys.end()), at::kInt)};
}

void VarlenAttention::set_on_device(std::span<const at::Tensor> uploaded) {
  on_device = {.cu_seqlens = uploaded[0],
               .ordinals = uploaded[1],
               .first_keys = uploaded[2],
               .num_keys = uploaded[3]};
  for (size_t i = 0; i < num_keys.size(); ++i) {
    on_device.max_queries =
        std::max<int64_t>(on_device.max_queries, cu_seqlens[i + 1] - cu_seqlens[i]);
    on_device.max_keys = std::max(on_device.max_keys, num_keys[i]);
  }
}

at::Tensor attend_with_flash(const at::Tensor& queries, const at::Tensor& keys,
                             const at::Tensor& values, const VarlenAttention& spec) {
  if (!spec.on_device.cu_seqlens.defined()) {
    auto uploaded = spec;
    uploaded.set_on_device(upload(spec.host_tensors(), queries.device()));
    return attend_with_flash(queries, keys, values, uploaded);
  }
  TORCH_CHECK(keys.size(0) <= std::numeric_limits<int32_t>::max(), "attention: a cache of ",
              keys.size(0), " slots");
  const auto& segments = spec.on_device;
  const bool has_window = spec.window < segments.max_keys;
  // A window of w: the token itself and w - 1 before it.
  const auto left = has_window ? std::optional<int64_t>(spec.window - 1) : std::nullopt;
  const auto right = has_window ? std::optional<int64_t>(0) : std::nullopt;
  // Causal masks are aligned at the ends of queries and keys.
  return std::get<0>(at::_flash_attention_forward(
      queries, keys, values, segments.cu_seqlens, segments.first_keys, segments.max_queries,
      segments.max_keys, /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
      /*scale=*/std::nullopt, left, right, segments.num_keys));
}

}  // namespace prepack
