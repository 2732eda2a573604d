// The sums of vectors' lanes, four vectors at a time. Included once for each instruction set.
#if defined(PREPACK_KERNELS_LANE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_LANE_SUMS_INL_H_
#undef PREPACK_KERNELS_LANE_SUMS_INL_H_
#else
#define PREPACK_KERNELS_LANE_SUMS_INL_H_
#endif

#include <algorithm>

#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// The sum of the blocks of four lanes.
template <typename D>
HWY_INLINE void store_block_sum(D d, hn::Vec<D> sums, float* to) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(sums, d, to);
  } else {
    const hn::Half<D> half;
    store_block_sum(half, hn::Add(hn::LowerHalf(half, sums), hn::UpperHalf(half, sums)), to);
  }
}

/// to[i] = the sum of the lanes of sums[i].
template <typename D>
HWY_INLINE void store_lane_sums(D d, const hn::Vec<D> (&sums)[4], float* to) {
  const hn::Repartition<double, D> pairs;
  const auto add_halves = [&](hn::Vec<D> a, hn::Vec<D> b) HWY_ATTR {
    return hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  };
  const auto first = add_halves(sums[0], sums[1]);
  const auto second = add_halves(sums[2], sums[3]);
  store_block_sum(d,
                  hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, first, second)),
                          hn::BitCast(d, hn::InterleaveUpper(pairs, first, second))),
                  to);
}

HWY_INLINE void store_lane_sums(const FloatVec (&sums)[4], float* to) {
  store_lane_sums(Floats(), sums, to);
}

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

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
