// How numbers that share a scale are rounded to integers. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_GROUP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_GROUP_INL_H_
#undef PREPACK_KERNELS_ROUNDED_GROUP_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_GROUP_INL_H_
#endif

#include <limits>

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

struct GroupScale {
  float scale;    // of integers; NaN where a number is not finite
  float inverse;  // what numbers are multiplied with
};

/// The scale that makes the largest number the largest T.
/// @param size  a multiple of D's lanes
template <typename T, typename D>
HWY_INLINE GroupScale scale_of(D d, const float* group, int64_t size) {
  auto largest = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // or else NaN
  for (int64_t i = 0; i < size; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto x = hn::LoadU(d, group + i);
    largest = hn::Max(largest, hn::Abs(x));
    not_finite = hn::Add(not_finite, hn::Sub(x, x));
  }
  const float scale = hn::GetLane(hn::MaxOfLanes(d, largest)) / std::numeric_limits<T>::max();
  // Smaller ones have inverses that are not finite.
  const bool is_zero = !(scale >= std::numeric_limits<float>::min());
  return {(is_zero ? 0 : scale) + hn::GetLane(hn::SumOfLanes(d, not_finite)),
          is_zero ? 0.0F : 1 / scale};
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
