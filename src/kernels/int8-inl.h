// Weights of eight bits in groups: widened to float32, or multiplied with one row. Included once
// for each instruction set.
#if defined(PREPACK_KERNELS_INT8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_INT8_INL_H_
#undef PREPACK_KERNELS_INT8_INL_H_
#else
#define PREPACK_KERNELS_INT8_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

HWY_INLINE GroupFloatVec load_group_values(const int8_t* from) {
  const hn::Rebind<int8_t, GroupFloats> bytes;
  const hn::Rebind<int32_t, GroupFloats> words;
  return hn::ConvertTo(GroupFloats(), hn::PromoteTo(words, hn::LoadU(bytes, from)));
}

/// The numbers [k, k + size) of a row, both multiples of the smallest group.
HWY_INLINE void widen_groups(const Int8GroupRows& rows, int64_t in_features, int64_t row, int64_t k,
                             int64_t size, float* to) {
  constexpr int64_t kStretch = 1024;  // with its scales and minimums in arrays
  float scales[kStretch / kMinInt8Group];
  float minimums[kStretch / kMinInt8Group];
  const GroupFloats d;
  const auto& groups = rows.groups;
  const int shift = group_shift(groups.group_size, kMinInt8Group);
  const int64_t row_groups = row * (in_features / groups.group_size);
  const auto* values = rows.values + row * in_features;
  for (const int64_t end = k + size; k < end;) {
    const int64_t stretch_end = std::min(k + kStretch, end);
    const int64_t first_group = (k / kMinInt8Group) >> shift;
    const int64_t num_groups = (((stretch_end - 1) / kMinInt8Group) >> shift) + 1 - first_group;
    widen_scales(groups.dtype, groups.scales, row_groups + first_group, num_groups, scales);
    widen_scales(groups.dtype, groups.minimums, row_groups + first_group, num_groups, minimums);
    for (; k < stretch_end; k += kMinInt8Group, to += kMinInt8Group) {
      const int64_t group = ((k / kMinInt8Group) >> shift) - first_group;
      const auto scale = hn::Set(d, scales[group]);
      const auto minimum = hn::Set(d, minimums[group]);
      for (int64_t i = 0; i < kMinInt8Group; i += kGroupLanes) {
        const auto value = load_group_values(values + k + i);
        hn::StoreU(hn::MulAdd(value, scale, minimum), d, to + i);
      }
    }
  }
}

/// The products of a smallest group's values with x, in lanes.
HWY_INLINE GroupFloatVec multiply_smallest_group(const int8_t* values, const float* x) {
  const GroupFloats d;
  auto sum = hn::Mul(load_group_values(values), hn::LoadU(d, x));
  for (int64_t i = kGroupLanes; i < kMinInt8Group; i += kGroupLanes) {
    sum = hn::MulAdd(load_group_values(values + i), hn::LoadU(d, x + i), sum);
  }
  return sum;
}

/// sums[i] = the product of one row x with row i of the tile.
HWY_INLINE void multiply_groups_tile(const GroupsTile<int8_t>& tile, const GroupsInput& input,
                                     float* sums) {
  const GroupFloats d;
  // Each by name, because compilers keep arrays of vectors in memory.
  const int8_t* HWY_RESTRICT w0 = tile.values[0];
  const int8_t* HWY_RESTRICT w1 = tile.values[1];
  const int8_t* HWY_RESTRICT w2 = tile.values[2];
  const int8_t* HWY_RESTRICT w3 = tile.values[3];
  const float* HWY_RESTRICT scales0 = tile.scales[0];
  const float* HWY_RESTRICT scales1 = tile.scales[1];
  const float* HWY_RESTRICT scales2 = tile.scales[2];
  const float* HWY_RESTRICT scales3 = tile.scales[3];
  const float* HWY_RESTRICT x = input.x;
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  if (input.sums != nullptr) add_minimums(d, tile, input.sums, s0, s1, s2, s3);
  for (int64_t k = 0; k < tile.in_features; k += kMinInt8Group) {
    const int64_t group = (k / kMinInt8Group) >> tile.group_shift;
    s0 = hn::MulAdd(multiply_smallest_group(w0 + k, x + k), hn::Set(d, scales0[group]), s0);
    s1 = hn::MulAdd(multiply_smallest_group(w1 + k, x + k), hn::Set(d, scales1[group]), s1);
    s2 = hn::MulAdd(multiply_smallest_group(w2 + k, x + k), hn::Set(d, scales2[group]), s2);
    s3 = hn::MulAdd(multiply_smallest_group(w3 + k, x + k), hn::Set(d, scales3[group]), s3);
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, s0));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, s1));
  sums[2] = hn::GetLane(hn::SumOfLanes(d, s2));
  sums[3] = hn::GetLane(hn::SumOfLanes(d, s3));
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
