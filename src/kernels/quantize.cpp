#include "kernels/quantize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// Smaller scales have inverses that are not finite: such weights are zero.
constexpr float kSmallestScale = std::numeric_limits<float>::min();

/// The weight of largest size, with its sign; NaN if one is not finite.
float largest_weight(const float* weights, int64_t count) {
  float largest = 0;
  bool is_finite = true;
  for (int64_t i = 0; i < count; ++i) {
    is_finite = is_finite && std::abs(weights[i]) <= std::numeric_limits<float>::max();
    if (std::abs(weights[i]) > std::abs(largest)) largest = weights[i];
  }
  return is_finite ? largest : std::numeric_limits<float>::quiet_NaN();
}

bool quantize_int8(const float* weights, int64_t in_features, int8_t* values, float* scale) {
  const float largest = std::abs(largest_weight(weights, in_features));
  const float step = largest / 127;
  if (!(step >= kSmallestScale)) {
    *scale = 0;
    std::fill_n(values, in_features, int8_t{0});
    return !std::isnan(largest);
  }
  *scale = step;
  for (int64_t i = 0; i < in_features; ++i) {
    values[i] = static_cast<int8_t>(std::nearbyint(weights[i] / step));
  }
  return true;
}

using Lanes = hn::CappedTag<float, 8>;
using Vec = hn::Vec<Lanes>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());

/// The nearest of the values 0 to 15.
HWY_INLINE Vec round_to_int4(Vec weights, Vec minimum, Vec inverse_scale) {
  const Lanes d;
  const auto rounded = hn::Round(hn::Mul(hn::Sub(weights, minimum), inverse_scale));
  return hn::Min(hn::Max(rounded, hn::Zero(d)), hn::Set(d, 15.0F));
}

struct Range {
  float lowest;
  float highest;
};

/// Of a group's weights; nullopt if one is not finite.
std::optional<Range> range_of(const float* weights, int64_t group_size) {
  Range range = {weights[0], weights[0]};
  for (int64_t i = 0; i < group_size; ++i) {
    if (!(std::abs(weights[i]) <= std::numeric_limits<float>::max())) return std::nullopt;
    range = {std::min(range.lowest, weights[i]), std::max(range.highest, weights[i])};
  }
  return range;
}

struct ScaleAndMinimum {
  float scale;
  float minimum;
};

/// The line of least squared error through a group's weights over the values that one scale, of the
/// range above the lowest weight, gives them.
struct Fit {
  ScaleAndMinimum line;
  float gain;  // what the squared error is less than that of the weights' mean
};

Fit fit_group(const float* weights, int64_t group_size, float lowest, float inverse_scale) {
  const Lanes d;
  const auto minimum = hn::Set(d, lowest);
  const auto inverse = hn::Set(d, inverse_scale);
  auto values_sum = hn::Zero(d), squares_sum = hn::Zero(d);
  auto weights_sum = hn::Zero(d), products_sum = hn::Zero(d);
  for (int64_t i = 0; i < group_size; i += kLanes) {
    const auto group = hn::LoadU(d, weights + i);
    const auto above = hn::Sub(group, minimum);
    const auto values = round_to_int4(group, minimum, inverse);
    values_sum = hn::Add(values_sum, values);
    squares_sum = hn::MulAdd(values, values, squares_sum);
    weights_sum = hn::Add(weights_sum, above);
    products_sum = hn::MulAdd(above, values, products_sum);
  }
  const auto n = static_cast<float>(group_size);
  const float v = hn::GetLane(hn::SumOfLanes(d, values_sum));
  const float vv = hn::GetLane(hn::SumOfLanes(d, squares_sum));
  const float w = hn::GetLane(hn::SumOfLanes(d, weights_sum));
  const float wv = hn::GetLane(hn::SumOfLanes(d, products_sum));
  const float spread = vv - v * v / n;  // not 0: the lowest weight has 0, the highest has not
  const float slope = (wv - w * v / n) / spread;
  return {{slope, lowest + (w - slope * v) / n}, slope * slope * spread};
}

ScaleAndMinimum choose_int4_scale(const float* weights, int64_t group_size, Range range) {
  constexpr int kSteps = 9;
  constexpr float kStep = 0.1F;
  const float width = range.highest - range.lowest;
  if (!(width / 15 >= kSmallestScale)) return {0, range.lowest};
  ScaleAndMinimum best = {};
  float best_gain = -1;
  for (int i = -kSteps; i <= kSteps; ++i) {
    const float inverse_scale = (15 + kStep * static_cast<float>(i)) / width;
    const auto fit = fit_group(weights, group_size, range.lowest, inverse_scale);
    if (fit.gain > best_gain) {
      best_gain = fit.gain;
      best = fit.line;
    }
  }
  // Sums of weights near the largest float overflow.
  if (best_gain < 0) return {range.highest, range.lowest};
  return best;
}

constexpr float kLargestFloat16 = 65504;

/// A number as float16 holds it.
float store_float16(float number, hwy::float16_t* to) {
  store_first(hn::Set(Floats(), number), 1, to);
  return hn::GetLane(load_first(to, 1));
}

/// @param values  [num_values] 0 to 15, whole groups of the smallest size
void pack_groups(const int32_t* values, int64_t num_values, uint8_t* to) {
  const hn::Rebind<int32_t, Lanes> d;
  const hn::Rebind<uint16_t, Lanes> words;
  for (int64_t group = 0; group < num_values; group += kMinInt4Group) {
    for (int64_t word = 0; word < kInt4Words; word += kLanes) {
      const auto* from = values + group + word;
      auto packed = hn::LoadU(d, from);
      packed = hn::Or(packed, hn::ShiftLeft<4>(hn::LoadU(d, from + kInt4Words)));
      packed = hn::Or(packed, hn::ShiftLeft<8>(hn::LoadU(d, from + 2 * kInt4Words)));
      packed = hn::Or(packed, hn::ShiftLeft<12>(hn::LoadU(d, from + 3 * kInt4Words)));
      hn::StoreU(hn::DemoteTo(words, packed), words,
                 reinterpret_cast<uint16_t*>(to) + group / 4 + word);
    }
  }
}

// Groups and blocks both divide this, except at the end of a row.
constexpr int64_t kStretch = 1024;

void pack_int4(const uint8_t* values, int64_t in_features, uint8_t* to) {
  int32_t stretch[kStretch];
  for (int64_t k = 0; k < in_features; k += kStretch) {
    const int64_t size = std::min(kStretch, in_features - k);
    std::fill_n(std::copy_n(values + k, size, stretch), kStretch - size, 0);
    pack_groups(stretch, 2 * int4_row_bytes(size), to + k / 2);
  }
}

bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales, void* minimums) {
  const Lanes d;
  const hn::Rebind<int32_t, Lanes> integers;
  int32_t stretch[kStretch];
  auto* scale_of_group = static_cast<hwy::float16_t*>(scales);
  auto* minimum_of_group = static_cast<hwy::float16_t*>(minimums);
  for (int64_t k = 0; k < in_features; k += kStretch) {
    const int64_t size = std::min(kStretch, in_features - k);
    std::fill_n(stretch, kStretch, 0);
    for (int64_t i = 0; i < size; i += group_size) {
      const float* group = weights + k + i;
      const auto range = range_of(group, group_size);
      if (!range) return false;
      const auto chosen = choose_int4_scale(group, group_size, *range);
      const bool fits_float16 =
          chosen.scale <= kLargestFloat16 && std::abs(chosen.minimum) <= kLargestFloat16;
      if (!fits_float16) return false;
      const float scale = store_float16(chosen.scale, scale_of_group++);
      const auto minimum = hn::Set(d, store_float16(chosen.minimum, minimum_of_group++));
      if (scale == 0) continue;
      const auto inverse = hn::Set(d, 1 / scale);
      for (int64_t j = 0; j < group_size; j += kLanes) {
        const auto rounded = round_to_int4(hn::LoadU(d, group + j), minimum, inverse);
        hn::StoreU(hn::NearestInt(rounded), integers, stretch + i + j);
      }
    }
    pack_groups(stretch, 2 * int4_row_bytes(size), values + k / 2);
  }
  return true;
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(quantize_int8);
HWY_EXPORT(quantize_int4);
HWY_EXPORT(pack_int4);

bool quantize_int8(const float* weights, int64_t in_features, int8_t* values, float* scale) {
  return HWY_DYNAMIC_DISPATCH(quantize_int8)(weights, in_features, values, scale);
}

bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales, void* minimums) {
  return HWY_DYNAMIC_DISPATCH(quantize_int4)(weights, in_features, group_size, values, scales,
                                             minimums);
}

void pack_int4(const uint8_t* values, int64_t in_features, uint8_t* to) {
  HWY_DYNAMIC_DISPATCH(pack_int4)(values, in_features, to);
}

}  // namespace prepack
#endif
