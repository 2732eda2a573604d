// A part of a row of any weight in float32 or bfloat16. Included once for each instruction set.
#if defined(PREPACK_KERNELS_WEIGHT_PARTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_WEIGHT_PARTS_INL_H_
#undef PREPACK_KERNELS_WEIGHT_PARTS_INL_H_
#else
#define PREPACK_KERNELS_WEIGHT_PARTS_INL_H_
#endif

#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Numbers [begin, begin + count) of a row; of one in groups, begin is a multiple of 32.
HWY_INLINE void widen_part(const WeightRows& weight, int64_t in_features, int64_t row,
                           int64_t begin, int64_t count, float* to) {
  if (const auto* plain = std::get_if<PlainRows>(&weight)) {
    with_type(
        plain->dtype,
        [&](const auto* values)
            HWY_ATTR { convert(count, values + row * in_features + begin, to); },
        plain->values);
  } else if (const auto* int8 = std::get_if<Int8Rows>(&weight)) {
    const auto scale = hn::Set(Floats(), int8->scales[row]);
    const auto times_scale = [&](FloatVec values) HWY_ATTR { return hn::Mul(values, scale); };
    transform(count, times_scale, to, int8->values + row * in_features + begin);
  } else if (const auto* int8_groups = std::get_if<Int8GroupRows>(&weight)) {
    widen_groups(*int8_groups, in_features, row, begin, count, to);
  } else if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    widen_groups(*int4, in_features, row, begin, count, to);
  }
}

/// The same in bfloat16.
/// @param round  called with numbers, how many, and where they go
template <typename Round>
HWY_INLINE void widen_part(const WeightRows& weight, int64_t in_features, int64_t row,
                           int64_t begin, int64_t count, const Round& round, hwy::bfloat16_t* to) {
  constexpr int64_t kStretch = 256;
  HWY_ALIGN float wide[kStretch];
  for (int64_t i = 0; i < count; i += kStretch) {
    const int64_t size = std::min(kStretch, count - i);
    widen_part(weight, in_features, row, begin + i, size, wide);
    round(wide, size, to + i);
  }
}

/// Fetches what widen_part will read of a quantized weight's row, but for its scales.
HWY_INLINE void prefetch_part(const WeightRows& weight, int64_t in_features, int64_t row,
                              int64_t begin, int64_t count) {
  constexpr int64_t kLine = 64;
  const char* from = nullptr;
  int64_t size = 0;
  if (const auto* int8 = std::get_if<Int8Rows>(&weight)) {
    from = reinterpret_cast<const char*>(int8->values) + row * in_features + begin;
    size = count;
  } else if (const auto* int8_groups = std::get_if<Int8GroupRows>(&weight)) {
    from = reinterpret_cast<const char*>(int8_groups->values) + row * in_features + begin;
    size = count;
  } else if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    from =
        reinterpret_cast<const char*>(int4->values) + row * int4_row_bytes(in_features) + begin / 2;
    size = count / 2;
  }
  for (int64_t i = 0; i < size; i += kLine) hwy::Prefetch(from + i);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
