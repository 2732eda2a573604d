#include "kernels/quantize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cpp"
#include <hwy/foreach_target.h>
//
#include <cmath>
#include <limits>

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

/// What weights are rounded to, in multiples of a scale.
HWY_INLINE Vec round_to_int4(Vec weights, Vec inverse_scale) {
  const Lanes d;
  const auto rounded = hn::Round(hn::Mul(weights, inverse_scale));
  return hn::Min(hn::Max(rounded, hn::Set(d, -8.0F)), hn::Set(d, 7.0F));
}

/// How well the weights of a group are rounded by one scale, and by the best for these values.
struct Fit {
  float weights_times_values;
  float values_squared;

  float best_scale() const { return weights_times_values / values_squared; }

  /// The squared error with the best scale is that of the weights themselves less this.
  float gain() const { return weights_times_values * weights_times_values / values_squared; }
};

Fit fit_group(const float* weights, int64_t group_size, float inverse_scale) {
  const Lanes d;
  const auto inverse = hn::Set(d, inverse_scale);
  auto products = hn::Zero(d);
  auto squares = hn::Zero(d);
  for (int64_t i = 0; i < group_size; i += kLanes) {
    const auto group = hn::LoadU(d, weights + i);
    const auto values = round_to_int4(group, inverse);
    products = hn::MulAdd(group, values, products);
    squares = hn::MulAdd(values, values, squares);
  }
  return {hn::GetLane(hn::SumOfLanes(d, products)), hn::GetLane(hn::SumOfLanes(d, squares))};
}

/// @param largest  of the group's weights
float choose_int4_scale(const float* weights, int64_t group_size, float largest) {
  constexpr int kSteps = 9;
  constexpr float kStep = 0.1F;
  float scale = 0;
  float best_gain = -1;
  for (int i = -kSteps; i <= kSteps; ++i) {
    const auto fit = fit_group(weights, group_size, -(8 + kStep * static_cast<float>(i)) / largest);
    if (fit.gain() > best_gain) {
      best_gain = fit.gain();
      scale = fit.best_scale();
    }
  }
  return scale;
}

constexpr float kLargestFloat16 = 65504;

/// A number as float16 holds it.
float store_float16(float number, hwy::float16_t* to) {
  store_first(hn::Set(Floats(), number), 1, to);
  return hn::GetLane(load_first(to, 1));
}

/// @param values  [whole blocks] 0 to 15
void pack_int4(const int32_t* values, int64_t num_blocks, uint8_t* to) {
  const hn::Rebind<int32_t, Lanes> d;
  for (int64_t block = 0; block < num_blocks; ++block) {
    for (int64_t word = 0; word < 8; word += kLanes) {
      const auto* from = values + block * kInt4Block + word;
      auto words = hn::LoadU(d, from);
      words = hn::Or(words, hn::ShiftLeft<4>(hn::LoadU(d, from + 8)));
      words = hn::Or(words, hn::ShiftLeft<8>(hn::LoadU(d, from + 16)));
      words = hn::Or(words, hn::ShiftLeft<12>(hn::LoadU(d, from + 24)));
      words = hn::Or(words, hn::ShiftLeft<16>(hn::LoadU(d, from + 32)));
      words = hn::Or(words, hn::ShiftLeft<20>(hn::LoadU(d, from + 40)));
      words = hn::Or(words, hn::ShiftLeft<24>(hn::LoadU(d, from + 48)));
      words = hn::Or(words, hn::ShiftLeft<28>(hn::LoadU(d, from + 56)));
      hn::StoreU(words, d, reinterpret_cast<int32_t*>(to) + block * 8 + word);
    }
  }
}

bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales) {
  const Lanes d;
  const hn::Rebind<int32_t, Lanes> integers;
  // Groups and blocks both divide this, except at the end of a row.
  constexpr int64_t kStretch = 1024;
  int32_t stretch[kStretch];
  auto* scale_of_group = static_cast<hwy::float16_t*>(scales);
  for (int64_t k = 0; k < in_features; k += kStretch) {
    const int64_t size = std::min(kStretch, in_features - k);
    std::fill_n(stretch, kStretch, 8);
    for (int64_t i = 0; i < size; i += group_size) {
      const float* group = weights + k + i;
      const float largest = largest_weight(group, group_size);
      if (std::isnan(largest)) return false;
      const bool is_zero = std::abs(largest) / 8 < kSmallestScale;
      const float chosen = is_zero ? 0.0F : choose_int4_scale(group, group_size, largest);
      if (std::abs(chosen) > kLargestFloat16) return false;
      const float scale = store_float16(chosen, scale_of_group++);
      if (scale == 0) continue;
      const auto inverse = hn::Set(d, 1 / scale);
      for (int64_t j = 0; j < group_size; j += kLanes) {
        const auto rounded = round_to_int4(hn::LoadU(d, group + j), inverse);
        hn::StoreU(hn::NearestInt(hn::Add(rounded, hn::Set(d, 8.0F))), integers, stretch + i + j);
      }
    }
    pack_int4(stretch, (size + kInt4Block - 1) / kInt4Block, values + k / 2);
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

bool quantize_int8(const float* weights, int64_t in_features, int8_t* values, float* scale) {
  return HWY_DYNAMIC_DISPATCH(quantize_int8)(weights, in_features, values, scale);
}

bool quantize_int4(const float* weights, int64_t in_features, int64_t group_size, uint8_t* values,
                   void* scales) {
  return HWY_DYNAMIC_DISPATCH(quantize_int4)(weights, in_features, group_size, values, scales);
}

}  // namespace prepack
#endif
