// What products of few rows have in common: blocks along k, and where their sums go. Included once
// for each instruction set.
#if defined(PREPACK_KERNELS_FEW_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_FEW_ROWS_INL_H_
#undef PREPACK_KERNELS_FEW_ROWS_INL_H_
#else
#define PREPACK_KERNELS_FEW_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/linear.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Elements; whole vectors, cache lines and blocks of four bits.
constexpr int64_t kBlockAlignment = 64;

/// Calls f(k, size) for blocks of k, as even as they can be, of at most `max_block` rounded up to
/// kBlockAlignment.
template <typename F>
void for_blocks(int64_t in_features, int64_t max_block, const F& f) {
  const int64_t num_blocks = (in_features + max_block - 1) / max_block;
  const int64_t block =
      (in_features / num_blocks + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
  for (int64_t k = 0; k < in_features; k += block) f(k, std::min(block, in_features - k));
}

/// Adds the bias, if it is time, and puts the sums of features first, first + 1, ... where they
/// belong.
HWY_INLINE void store_sums(const FewRowsProduct& product, const float* sums, int64_t row,
                           int64_t first, int64_t count, bool adds_bias, bool adds_to_out) {
  auto* out = product.out + row * product.out_stride + first;
  const float* bias = product.bias != nullptr && adds_bias ? product.bias + first : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const float sum = bias != nullptr ? sums[i] + bias[i] : sums[i];
    out[i] = adds_to_out ? out[i] + sum : sum;
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
