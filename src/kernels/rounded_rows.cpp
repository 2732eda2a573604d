#include "kernels/rounded_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <type_traits>

#include "kernels/integer_sums-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kMinSumGroup = 16;

// Never more lanes than what is summed has numbers.
using Lanes = hn::CappedTag<float, kMinSumGroup>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());

template <typename T>
constexpr int64_t kGroup = RoundedRows<T>::kGroup;

template <typename T>
constexpr int64_t kMaxSums = kGroup<T> / kMinSumGroup;

template <typename T>
struct RoundedGroup {
  float scale;
  float sums[kMaxSums<T>];  // of kMinSumGroup numbers
  float value_sum;
};

/// @param group  kGroup<T> numbers
template <typename T>
RoundedGroup<T> round_group(const float* group, T* values) {
  const Lanes d;
  const hn::Rebind<T, Lanes> integers;
  auto largest = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // or else NaN
  for (int64_t i = 0; i < kGroup<T>; i += kLanes) {
    const auto x = hn::LoadU(d, group + i);
    largest = hn::Max(largest, hn::Abs(x));
    not_finite = hn::Add(not_finite, hn::Sub(x, x));
  }
  const float scale = hn::GetLane(hn::MaxOfLanes(d, largest)) / std::numeric_limits<T>::max();
  // Smaller ones have inverses that are not finite.
  const bool is_zero = !(scale >= std::numeric_limits<float>::min());
  const auto inverse = hn::Set(d, is_zero ? 0.0F : 1 / scale);
  const float step = (is_zero ? 0 : scale) + hn::GetLane(hn::SumOfLanes(d, not_finite));
  RoundedGroup<T> rounded{step, {}, 0};
  for (int64_t part = 0; part < kMaxSums<T>; ++part) {
    auto sum = hn::Zero(d);
    for (int64_t i = part * kMinSumGroup; i < (part + 1) * kMinSumGroup; i += kLanes) {
      const auto value = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), inverse));
      sum = hn::Add(sum, hn::ConvertTo(d, value));
      hn::StoreU(hn::DemoteTo(integers, value), integers, values + i);
    }
    const float value_sum = hn::GetLane(hn::SumOfLanes(d, sum));
    rounded.sums[part] = step * value_sum;
    rounded.value_sum += value_sum;
  }
  return rounded;
}

/// The sums of a group's parts, to every stride-th of the places.
template <typename T>
HWY_INLINE void store_sums(const RoundedGroup<T>& group, int64_t sum_group, int64_t stride,
                           float* to) {
  const int64_t parts = sum_group / kMinSumGroup;
  for (int64_t part = 0; part < kMaxSums<T>; part += parts, to += stride) {
    *to = group.sums[part];
    for (int64_t i = 1; i < parts; ++i) *to += group.sums[part + i];
  }
}

template <typename X, typename T>
void round_tiles(const X* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                 const RoundedRows<T>& to) {
  using Rows = RoundedRows<T>;
  constexpr int64_t kSize = kGroup<T>;
  const int64_t num_groups = Rows::num_blocks(in_features) * (Rows::kBlock / kSize);
  const int64_t sums_of_group = kSize / to.sum_group;
  const int64_t stride = to.tile_rows;
  for (int64_t tile = first; tile < last; ++tile) {
    for (int64_t i = 0; i < stride; ++i) {
      const int64_t row = tile * stride + i;
      for (int64_t g = 0; g < num_groups; ++g) {
        const int64_t size =
            row < num_rows ? std::clamp<int64_t>(in_features - g * kSize, 0, kSize) : 0;
        float padded[kSize];
        const float* group = padded;
        if (std::is_same_v<X, float> && size == kSize) {
          group = reinterpret_cast<const float*>(x + row * in_features + g * kSize);
        } else {
          if (size > 0) convert(size, x + row * in_features + g * kSize, padded);
          std::fill(padded + size, std::end(padded), 0.0F);
        }
        const int64_t place = tile * num_groups + g;
        T* places = to.values + place * kSize * stride + Rows::kTogether * i;
        T values[kSize];
        const auto rounded = round_group(group, stride == 1 ? places : values);
        if (stride != 1) store_by_lanes<kSize>(values, stride, places);
        to.scales[place * stride + i] = rounded.scale;
        if (to.corrections != nullptr) {
          // Of a group that is not finite any: its scale makes the results NaN.
          const float sum = std::isfinite(rounded.scale) ? rounded.value_sum : 0;
          to.corrections[place * stride + i] = -128 * static_cast<int32_t>(sum);
        }
        store_sums(rounded, to.sum_group, stride, to.sums + place * sums_of_group * stride + i);
      }
    }
  }
}

template <typename T>
void round_any(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
               int64_t last, const RoundedRows<T>& to) {
  with_type(
      dtype,
      [&](const auto* numbers)
          HWY_ATTR { round_tiles(numbers, num_rows, in_features, first, last, to); },
      x);
}

void round_to_int16(DType dtype, const void* x, int64_t num_rows, int64_t in_features,
                    int64_t first, int64_t last, const RoundedRows<int16_t>& to) {
  round_any(dtype, x, num_rows, in_features, first, last, to);
}

void round_to_int8(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                   int64_t last, const RoundedRows<int8_t>& to) {
  round_any(dtype, x, num_rows, in_features, first, last, to);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(round_to_int16);
HWY_EXPORT(round_to_int8);

void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int16_t>& to) {
  HWY_DYNAMIC_DISPATCH(round_to_int16)(dtype, x, num_rows, in_features, first, last, to);
}

void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int8_t>& to) {
  HWY_DYNAMIC_DISPATCH(round_to_int8)(dtype, x, num_rows, in_features, first, last, to);
}

}  // namespace prepack
#endif
