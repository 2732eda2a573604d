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
#include <utility>

#include "kernels/groups-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/lane_sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Calls f.operator()<0>() to f.operator()<kCount - 1>(): a loop whose arrays of vectors compilers
/// keep in registers.
template <int kCount, typename F>
HWY_INLINE void unrolled(const F& f) {
  const auto call_all = [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) HWY_ATTR {
    (f.template operator()<kIndex>(), ...);
  };
  call_all(std::make_integer_sequence<int, kCount>());
}

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

/// to[r] = the sum of the lanes of sums[r].
template <int kRows, typename D>
HWY_INLINE void store_row_sums(D d, const hn::Vec<D> (&sums)[kRows], float* to) {
  unrolled<(kRows + 3) / 4>([&]<int kGroup>() HWY_ATTR {
    constexpr int kFirst = 4 * kGroup;
    constexpr int kLast = kRows - 1;
    // Past the last row it is summed again.
    float four[4];
    store_lane_sums(d,
                    {sums[kFirst], sums[std::min(kFirst + 1, kLast)],
                     sums[std::min(kFirst + 2, kLast)], sums[std::min(kFirst + 3, kLast)]},
                    four);
    std::copy(four, four + std::min(4, kRows - kFirst), to + kFirst);
  });
}

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

/// Places kFirst to kFirst + 3 of the words of a block.
/// @param k  where the half block begins in the part
template <int kFirst, int kFeatures, int kRows>
HWY_INLINE void add_half_block(const GroupFeatures<uint32_t, kFeatures>& weight, int64_t k,
                               const float* x, Int4FloatVec (&sums)[kFeatures][kRows]) {
  const Int4Floats d;
  const Int4Words words;
  const hn::Rebind<int32_t, Int4Floats> integers;
  const auto mask = hn::Set(words, 0xFU);
  const int64_t group = weight.group_of(k, kMinInt4Group);
  const int64_t place = k / kInt4Block * kInt4Words;
  Int4FloatVec scales[kFeatures], minimums[kFeatures];
  unrolled<kFeatures>([&]<int f>() HWY_ATTR {
    scales[f] = hn::Set(d, weight.scales[f][group]);
    minimums[f] = hn::Set(d, weight.minimums[f][group]);
  });
  unrolled<static_cast<int>(kInt4Words / kInt4Lanes)>([&]<int kPart>() HWY_ATTR {
    constexpr int64_t c = kPart * kInt4Lanes;
    unrolled<4>([&]<int p>() HWY_ATTR {
      Int4FloatVec wide[kFeatures];
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        const auto packed = hn::LoadU(words, weight.values[f] + place + c);
        const auto value = hn::And(hn::ShiftRight<4 * (kFirst + p)>(packed), mask);
        wide[f] =
            hn::MulAdd(hn::ConvertTo(d, hn::BitCast(integers, value)), scales[f], minimums[f]);
      });
      add_products(d, wide, x + (k + p * kInt4Words + c) * kRows, sums);
    });
  });
}

/// sums[f][r] = the product of feature f with row r over the part.
/// @param x  interleaved rows
template <int kFeatures, int kRows>
HWY_INLINE void multiply_group_rows(const GroupFeatures<uint32_t, kFeatures>& weight,
                                    const float* x, float (*sums)[kRows]) {
  const Int4Floats d;
  Int4FloatVec s[kFeatures][kRows];
  set_zero(d, s);
  for (int64_t k = 0; k < weight.size; k += kInt4Block) {
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      hwy::Prefetch(weight.values[f] + k / kInt4Block * kInt4Words + weight.next_values);
    });
    add_half_block<0>(weight, k, x, s);
    if (k + kMinInt4Group == weight.size) break;
    add_half_block<4>(weight, k + kMinInt4Group, x, s);
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
