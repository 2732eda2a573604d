#include "kernels/rounded_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <iterator>
#include <limits>

#include "kernels/pairs-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kGroup = RoundedRows::kGroup;
constexpr int64_t kMinSumGroup = 16;
constexpr int64_t kMaxSums = kGroup / kMinSumGroup;
constexpr float kLargest = 32767;

// Never more lanes than what is summed has numbers.
using Lanes = hn::CappedTag<float, kMinSumGroup>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());

struct RoundedGroup {
  float scale;
  float sums[kMaxSums];  // of kMinSumGroup numbers
};

/// @param group  kGroup numbers
RoundedGroup round_group(const float* group, int16_t* values) {
  const Lanes d;
  const hn::Rebind<int16_t, Lanes> shorts;
  auto largest = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // or else NaN
  for (int64_t i = 0; i < kGroup; i += kLanes) {
    const auto x = hn::LoadU(d, group + i);
    largest = hn::Max(largest, hn::Abs(x));
    not_finite = hn::Add(not_finite, hn::Sub(x, x));
  }
  const float scale = hn::GetLane(hn::MaxOfLanes(d, largest)) / kLargest;
  // Smaller ones have inverses that are not finite.
  const bool is_zero = !(scale >= std::numeric_limits<float>::min());
  const auto inverse = hn::Set(d, is_zero ? 0.0F : 1 / scale);
  const float step = (is_zero ? 0 : scale) + hn::GetLane(hn::SumOfLanes(d, not_finite));
  RoundedGroup rounded{step, {}};
  for (int64_t part = 0; part < kMaxSums; ++part) {
    auto sum = hn::Zero(d);
    for (int64_t i = part * kMinSumGroup; i < (part + 1) * kMinSumGroup; i += kLanes) {
      const auto value = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), inverse));
      sum = hn::Add(sum, hn::ConvertTo(d, value));
      hn::StoreU(hn::DemoteTo(shorts, value), shorts, values + i);
    }
    rounded.sums[part] = step * hn::GetLane(hn::SumOfLanes(d, sum));
  }
  return rounded;
}

/// The sums of a group's parts, to every stride-th of the places.
HWY_INLINE void store_sums(const RoundedGroup& group, int64_t sum_group, int64_t stride,
                           float* to) {
  const int64_t parts = sum_group / kMinSumGroup;
  for (int64_t part = 0; part < kMaxSums; part += parts, to += stride) {
    *to = group.sums[part];
    for (int64_t i = 1; i < parts; ++i) *to += group.sums[part + i];
  }
}

void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to) {
  const int64_t num_groups = RoundedRows::num_groups(in_features);
  const int64_t sums_of_group = kGroup / to.sum_group;
  const int64_t stride = to.tile_rows;
  for (int64_t tile = first; tile < last; ++tile) {
    for (int64_t i = 0; i < stride; ++i) {
      const int64_t row = tile * stride + i;
      for (int64_t g = 0; g < num_groups; ++g) {
        const int64_t size =
            row < num_rows ? std::clamp<int64_t>(in_features - g * kGroup, 0, kGroup) : 0;
        float padded[kGroup];
        const float* group = size > 0 ? x + row * in_features + g * kGroup : padded;
        if (size < kGroup) {
          std::fill(std::copy_n(group, size, padded), std::end(padded), 0.0F);
          group = padded;
        }
        const int64_t place = tile * num_groups + g;
        int16_t* places = to.values + place * kGroup * stride + 2 * i;
        int16_t values[kGroup];
        const auto rounded = round_group(group, stride == 1 ? places : values);
        if (stride != 1) store_pairs<kGroup>(values, stride, places);
        to.scales[place * stride + i] = rounded.scale;
        store_sums(rounded, to.sum_group, stride, to.sums + place * sums_of_group * stride + i);
      }
    }
  }
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(round_rows);

void round_rows(const float* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const RoundedRows& to) {
  HWY_DYNAMIC_DISPATCH(round_rows)(x, num_rows, in_features, first, last, to);
}

}  // namespace prepack
#endif
