// Sums of products of rounded rows on their way out. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_SUMS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_SUMS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_SUMS_INL_H_
#endif

#include <variant>

#include "kernels/gated_panels.h"
#include "kernels/swiglu-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// One for each output feature; null where a weight has others.
HWY_INLINE const float* row_scales(const WeightRows& weight) {
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  return int8 != nullptr ? int8->scales : nullptr;
}
HWY_INLINE const float* row_scales(const Int8Rows& weight) { return weight.scales; }

/// Rows [row, row + num_rows) of the features from `feature` on to where the product says, with the
/// bias.
/// @param product  RoundedProduct or one like it
/// @param sums     [num_rows, num_features], with rows `stride` apart; scaled here where rows of the
///                 weight have a scale each
template <typename Product>
HWY_NOINLINE void store_rounded_sums(const Product& product, float* sums, int64_t stride,
                                     int64_t row, int64_t num_rows, int64_t feature,
                                     int64_t num_features) {
  const auto times = [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Mul(a, b); };
  const float* scales = row_scales(product.weight);
  const float* bias = product.bias != nullptr ? product.bias + feature : nullptr;
  const auto store_rows = [&](auto* out) HWY_ATTR {
    out += row * product.out_stride + feature;
    for (int64_t i = 0; i < num_rows; ++i, sums += stride, out += product.out_stride) {
      if (scales != nullptr) transform(num_features, times, sums, sums, scales + feature);
      store_biased(num_features, sums, bias, product.adds_to_out, out);
    }
  };
  with_type(product.out_dtype, store_rows, product.out);
}

/// Likewise SwiGLU of the gates and the ups of a panel.
/// @param panel  of the ups
template <typename Product>
HWY_NOINLINE void store_gated_sums(const Product& product, float* gates, float* ups, int64_t stride,
                                   int64_t row, int64_t num_rows, const WeightPanel& panel) {
  const auto times = [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Mul(a, b); };
  const float* scales = row_scales(product.weight);
  const float* gate_bias = product.bias != nullptr ? product.bias + panel.feature : nullptr;
  const float* up_bias = product.bias != nullptr ? product.bias + panel.row : nullptr;
  const auto store_rows = [&](auto* out) HWY_ATTR {
    out += row * product.out_stride + panel.feature;
    for (int64_t i = 0; i < num_rows; ++i) {
      if (scales != nullptr) {
        transform(panel.count, times, gates, gates, scales + panel.feature);
        transform(panel.count, times, ups, ups, scales + panel.row);
      }
      store_gated(panel.count, gates, gate_bias, ups, up_bias, out);
      gates += stride;
      ups += stride;
      out += product.out_stride;
    }
  };
  with_type(product.out_dtype, store_rows, product.out);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
