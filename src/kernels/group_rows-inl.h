// Products of several rows with weights in groups, which are widened in registers. Included once
// for each instruction set.
#if defined(PREPACK_KERNELS_GROUP_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_GROUP_ROWS_INL_H_
#undef PREPACK_KERNELS_GROUP_ROWS_INL_H_
#else
#define PREPACK_KERNELS_GROUP_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/unrolled-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows of x, interleaved: vectors of the same place in k follow each other.
/// @param num_rows      that there are
/// @param num_together  rows that are interleaved; what is not there is zero
/// @param to            [num_together * size]
template <typename D>
HWY_INLINE void interleave_rows(D d, const float* x, int64_t stride, int64_t num_rows,
                                int64_t num_together, int64_t size, float* to) {
  constexpr int64_t kLanes = hn::MaxLanes(D());
  for (int64_t row = 0; row < num_together; ++row) {
    for (int64_t i = 0; i < size; i += kLanes) {
      const auto values = row < num_rows ? hn::LoadU(d, x + row * stride + i) : hn::Zero(d);
      hn::StoreU(values, d, to + i * num_together + row * kLanes);
    }
  }
}

/// A part of k of some features' weights, with its scales and minimums in float32.
template <typename Value, int kFeatures>
struct GroupFeatures {
  const Value* values[kFeatures];
  const float* scales[kFeatures];
  const float* minimums[kFeatures];
  int64_t begin;        // where the part begins in a row
  int64_t size;         // whole groups of the smallest size
  int group_shift;      // of the smallest groups to one, as a power of two
  int64_t next_values;  // from these features to those that come next

  /// Of the scales and minimums.
  int64_t group_of(int64_t k, int64_t smallest) const {
    return ((begin + k) / smallest >> group_shift) - (begin / smallest >> group_shift);
  }
};

template <typename D, int kFeatures, int kRows>
HWY_INLINE void set_zero(D d, hn::Vec<D> (&sums)[kFeatures][kRows]) {
  unrolled<kFeatures>([&]<int f>() HWY_ATTR {
    unrolled<kRows>([&]<int r>() HWY_ATTR { sums[f][r] = hn::Zero(d); });
  });
}

/// sums[f][r] += wide[f] * the vector of row r.
template <typename D, int kFeatures, int kRows>
HWY_INLINE void add_products(D d, const hn::Vec<D> (&wide)[kFeatures], const float* x,
                             hn::Vec<D> (&sums)[kFeatures][kRows]) {
  unrolled<kRows>([&]<int r>() HWY_ATTR {
    const auto row = hn::LoadU(d, x + r * hn::MaxLanes(d));
    unrolled<kFeatures>([&]<int f>()
                            HWY_ATTR { sums[f][r] = hn::MulAdd(wide[f], row, sums[f][r]); });
  });
}

/// A smallest group of 4-bit values.
/// @param k  where it begins in the part
template <int kFeatures, int kRows>
HWY_INLINE void add_words(const GroupFeatures<uint16_t, kFeatures>& weight, int64_t k,
                          const float* x, Int4FloatVec (&sums)[kFeatures][kRows]) {
  const Int4Floats d;
  const int64_t group = weight.group_of(k, kMinInt4Group);
  Int4FloatVec minimums[kFeatures];
  unrolled<kFeatures>([&]<int f>()
                          HWY_ATTR { minimums[f] = hn::Set(d, weight.minimums[f][group]); });
  unrolled<4>([&]<int kPlace>() HWY_ATTR {
    Int4FloatVec scales[kFeatures];
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      scales[f] = hn::Set(d, weight.scales[f][group] * (1 / kInt4PlaceValue<kPlace>));
    });
    unrolled<static_cast<int>(kInt4Words / kInt4Lanes)>([&]<int kPart>() HWY_ATTR {
      constexpr int64_t c = kPart * kInt4Lanes;
      Int4FloatVec wide[kFeatures];
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        const auto value = int4_values<kPlace>(load_int4_words(weight.values[f] + k / 4 + c));
        wide[f] = hn::MulAdd(value, scales[f], minimums[f]);
      });
      add_products(d, wide, x + (k + kPlace * kInt4Words + c) * kRows, sums);
    });
  });
}

/// sums[f][r] = the product of feature f with row r over the part.
/// @param x  interleaved rows
template <int kFeatures, int kRows>
HWY_INLINE void multiply_group_rows(const GroupFeatures<uint16_t, kFeatures>& weight,
                                    const float* x, float (*sums)[kRows]) {
  const Int4Floats d;
  Int4FloatVec s[kFeatures][kRows];
  set_zero(d, s);
  for (int64_t k = 0; k < weight.size; k += kMinInt4Group) {
    unrolled<kFeatures>(
        [&]<int f>() HWY_ATTR { hwy::Prefetch(weight.values[f] + k / 4 + weight.next_values); });
    add_words(weight, k, x, s);
  }
  unrolled<kFeatures>([&]<int f>() HWY_ATTR { store_row_sums<kRows>(d, s[f], sums[f]); });
}

template <int kFeatures, int kRows>
HWY_INLINE void multiply_group_rows(const GroupFeatures<int8_t, kFeatures>& weight, const float* x,
                                    float (*sums)[kRows]) {
  const GroupFloats d;
  GroupFloatVec s[kFeatures][kRows];
  set_zero(d, s);
  for (int64_t k = 0; k < weight.size; k += kMinInt8Group) {
    const int64_t group = weight.group_of(k, kMinInt8Group);
    GroupFloatVec scales[kFeatures], minimums[kFeatures];
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      hwy::Prefetch(weight.values[f] + k + weight.next_values);
      scales[f] = hn::Set(d, weight.scales[f][group]);
      minimums[f] = hn::Set(d, weight.minimums[f][group]);
    });
    unrolled<static_cast<int>(kMinInt8Group / kGroupLanes)>([&]<int p>() HWY_ATTR {
      const int64_t i = k + p * kGroupLanes;
      GroupFloatVec wide[kFeatures];
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        wide[f] = hn::MulAdd(load_group_values(weight.values[f] + i), scales[f], minimums[f]);
      });
      add_products(d, wide, x + i * kRows, s);
    });
  }
  unrolled<kFeatures>([&]<int f>() HWY_ATTR { store_row_sums<kRows>(d, s[f], sums[f]); });
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
