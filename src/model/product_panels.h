#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace prepack {

using Bias = std::optional<at::Tensor>;

/// What a product does with its results: writes them; adds them to what is there; or writes SwiGLU
/// of them, the gates of which come before the ups.
enum class Finish { kWrite, kAdd, kGate };

/// Shares a product's output features among the threads: calls multiply(product, first, last) for
/// parts of them, each of whole panels.
/// @param product  a kernel's product, but for what the tensors say
/// @param x        [num_rows, in_features]
/// @param bias     [out_features]
/// @param out      [num_rows, out_features], or half as many for kGate, with its columns next to each
///                 other
/// @param finish   kGate only of products that have num_gates
template <typename Product, typename Multiply>
void multiply_in_panels(Product product, int64_t panel_features, const at::Tensor& x,
                        const Bias& bias, at::Tensor& out, Finish finish,
                        const Multiply& multiply) {
  constexpr int64_t kMinMultiplyAdds = int64_t{1} << 17;  // below, another thread is not worth it
  const auto wide_bias = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
  product.bias = bias ? wide_bias.const_data_ptr<float>() : nullptr;
  product.out = static_cast<decltype(product.out)>(out.data_ptr());
  product.num_rows = x.size(0);
  product.in_features = x.size(1);
  product.out_stride = out.stride(0);
  product.adds_to_out = finish == Finish::kAdd;
  const int64_t num_features = out.size(1);
  if constexpr (requires { product.num_gates; }) {
    product.num_gates = finish == Finish::kGate ? num_features : 0;
  } else {
    TORCH_CHECK(finish != Finish::kGate, "this product does not gate");
  }
  const int64_t num_panels = (num_features + panel_features - 1) / panel_features;
  const int64_t work = panel_features * std::max<int64_t>(x.numel(), 1);  // of a panel
  at::parallel_for(0, num_panels, std::max<int64_t>(kMinMultiplyAdds / work, 1),
                   [&](int64_t first, int64_t last) {
                     multiply(product, first * panel_features,
                              std::min(last * panel_features, num_features));
                   });
}

}  // namespace prepack
