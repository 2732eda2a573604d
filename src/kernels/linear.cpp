#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/linear.cpp"
#include <hwy/foreach_target.h>
//
#include <variant>

#include "kernels/streamed_groups-inl.h"
#include "kernels/streamed_rows-inl.h"
#include "kernels/tiled_groups-inl.h"
#include "kernels/tiled_rows-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// @param scales  of all features, or null
template <typename T>
void multiply_stored(const FewRowsProduct& product, const T* weight, const float* scales,
                     int64_t first, int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  multiply_streamed(product, weight, scales, first, last);
#else
  multiply_tiled(product, weight, scales, first, last);
#endif
}

template <typename Rows>
void multiply_groups(const FewRowsProduct& product, const Rows& weight, int64_t first,
                     int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  multiply_streamed_groups(product, weight, first, last);
#else
  multiply_tiled_groups(product, weight, first, last);
#endif
}

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  if (const auto* plain = std::get_if<PlainRows>(&product.weight)) {
    with_type(
        plain->dtype,
        [&](const auto* weight)
            HWY_ATTR { multiply_stored(product, weight, nullptr, first, last); },
        plain->values);
  } else if (const auto* int8 = std::get_if<Int8Rows>(&product.weight)) {
    multiply_stored(product, int8->values, int8->scales, first, last);
  } else if (const auto* int8_groups = std::get_if<Int8GroupRows>(&product.weight)) {
    multiply_groups(product, *int8_groups, first, last);
  } else if (const auto* int4 = std::get_if<Int4Rows>(&product.weight)) {
    multiply_groups(product, *int4, first, last);
  }
}

void widen_rows(const WeightRows& weight, int64_t in_features, int64_t first, int64_t last,
                DType dtype, void* to) {
  const auto round = [](const float* from, int64_t size, hwy::bfloat16_t* rounded)
                         HWY_ATTR { convert(size, from, rounded); };
  for (int64_t row = first; row < last; ++row) {
    const int64_t place = (row - first) * in_features;
    if (dtype == DType::kFloat32) {
      widen_part(weight, in_features, row, 0, in_features, static_cast<float*>(to) + place);
    } else {
      widen_part(weight, in_features, row, 0, in_features, round,
                 static_cast<hwy::bfloat16_t*>(to) + place);
    }
  }
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  with_type(
      dtype, [&](const auto* numbers) HWY_ATTR { convert(count, numbers, to); }, from);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  with_type(
      dtype, [&](auto* numbers) HWY_ATTR { convert(count, from, numbers); }, to);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_rows);
HWY_EXPORT(widen);
HWY_EXPORT(widen_rows);
HWY_EXPORT(narrow);

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_rows)(product, first, last);
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(widen)(dtype, from, to, count);
}

void widen_rows(const WeightRows& weight, int64_t in_features, int64_t first, int64_t last,
                DType dtype, void* to) {
  HWY_DYNAMIC_DISPATCH(widen_rows)(weight, in_features, first, last, dtype, to);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(narrow)(from, dtype, to, count);
}

}  // namespace prepack
#endif
