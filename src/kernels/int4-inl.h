// Weights of four bits: widened to float32, or multiplied with one row. Included once for each
// instruction set.
#if defined(PREPACK_KERNELS_INT4_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_INT4_INL_H_
#undef PREPACK_KERNELS_INT4_INL_H_
#else
#define PREPACK_KERNELS_INT4_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// Never more lanes than the smallest group has words.
using Int4Floats = hn::CappedTag<float, kInt4Words>;
using Int4FloatVec = hn::Vec<Int4Floats>;
using Int4Integers = hn::Rebind<int32_t, Int4Floats>;
constexpr int64_t kInt4Lanes = hn::MaxLanes(Int4Floats());

/// Words, each in a lane.
HWY_INLINE hn::Vec<Int4Integers> load_int4_words(const uint16_t* words) {
  return hn::PromoteTo(Int4Integers(), hn::LoadU(hn::Rebind<uint16_t, Int4Floats>(), words));
}

/// What a value is multiplied by while it is still in its place of the word.
template <int kPlace>
constexpr float kInt4PlaceValue = static_cast<float>(1 << (4 * kPlace));

/// The values in place kPlace of each word, times kInt4PlaceValue<kPlace>.
template <int kPlace>
HWY_INLINE Int4FloatVec int4_values(hn::Vec<Int4Integers> words) {
  return hn::ConvertTo(Int4Floats(), hn::And(words, hn::Set(Int4Integers(), 0xF << (4 * kPlace))));
}

/// The numbers of a smallest group's words.
HWY_INLINE void widen_words(const uint16_t* words, float scale, float minimum, float* to) {
  const Int4Floats d;
  const auto shift = hn::Set(d, minimum);
  unrolled<kInt4Words / kInt4Lanes>([&]<int kPart>() HWY_ATTR {
    constexpr int64_t i = kPart * kInt4Lanes;
    const auto packed = load_int4_words(words + i);
    unrolled<4>([&]<int kPlace>() HWY_ATTR {
      // Exact, as the place's value is a power of two.
      const auto factor = hn::Set(d, scale * (1 / kInt4PlaceValue<kPlace>));
      hn::StoreU(hn::MulAdd(int4_values<kPlace>(packed), factor, shift), d,
                 to + kPlace * kInt4Words + i);
    });
  });
}

/// The numbers [k, k + size) of a row, where k begins a block, and the end ends a group.
HWY_INLINE void widen_groups(const Int4Rows& rows, int64_t in_features, int64_t row, int64_t k,
                             int64_t size, float* to) {
  constexpr int64_t kStretch = 2048;  // with its scales and minimums in arrays
  float scales[kStretch / kMinInt4Group];
  float minimums[kStretch / kMinInt4Group];
  const auto& groups = rows.groups;
  const int shift = group_shift(groups.group_size, kMinInt4Group);
  const int64_t row_bytes = int4_row_bytes(in_features);
  const int64_t row_groups = row * (in_features / groups.group_size);
  const auto* values = rows.values + row * row_bytes;
  for (const int64_t end = k + size; k < end;) {
    const int64_t stretch_end = std::min(k + kStretch, end);
    const int64_t first_unit = k / kMinInt4Group;
    const int64_t last_unit = (stretch_end - 1) / kMinInt4Group;
    const int64_t first_group = first_unit >> shift;
    const int64_t num_groups = (last_unit >> shift) + 1 - first_group;
    widen_scales(groups.dtype, groups.scales, row_groups + first_group, num_groups, scales);
    widen_scales(groups.dtype, groups.minimums, row_groups + first_group, num_groups, minimums);
    for (int64_t unit = first_unit; unit <= last_unit; ++unit, to += kMinInt4Group) {
      const auto* words = reinterpret_cast<const uint16_t*>(values) + unit * kInt4Words;
      // Of the row that is in this one's place in the next tile of four.
      hwy::Prefetch(reinterpret_cast<const uint8_t*>(words) + 4 * row_bytes);
      const int64_t group = (unit >> shift) - first_group;
      widen_words(words, scales[group], minimums[group], to);
    }
    k = stretch_end;
  }
}

/// One row x, prepared for products with values that stay in their places: that of a value is
/// divided by its place's, which loses nothing.
/// @param to  [whole blocks], with zeros at the end
HWY_INLINE void divide_by_places(const float* x, int64_t in_features, float* to) {
  const Int4Floats d;
  constexpr float kFactors[4] = {1 / kInt4PlaceValue<0>, 1 / kInt4PlaceValue<1>,
                                 1 / kInt4PlaceValue<2>, 1 / kInt4PlaceValue<3>};
  for (int64_t i = 0; i < in_features; i += kInt4Lanes) {
    const auto factor = hn::Set(d, kFactors[i % kMinInt4Group / kInt4Words]);
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), factor), d, to + i);
  }
  std::fill(to + in_features, to + 2 * int4_row_bytes(in_features), 0.0F);
}

/// The products of a smallest group's values with x, in lanes.
HWY_INLINE Int4FloatVec multiply_words(const uint16_t* words, const float* x) {
  const Int4Floats d;
  auto sum = hn::Zero(d);
  unrolled<kInt4Words / kInt4Lanes>([&]<int kPart>() HWY_ATTR {
    constexpr int64_t i = kPart * kInt4Lanes;
    const auto packed = load_int4_words(words + i);
    unrolled<4>([&]<int kPlace>() HWY_ATTR {
      sum = hn::MulAdd(int4_values<kPlace>(packed), hn::LoadU(d, x + kPlace * kInt4Words + i), sum);
    });
  });
  return sum;
}

/// sums[i] = the product of one row x, divided by places, with row i of the tile.
HWY_INLINE void multiply_groups_tile(const GroupsTile<uint16_t>& tile, const GroupsInput& input,
                                     float* sums) {
  const Int4Floats d;
  // Each by name, because compilers keep arrays of vectors in memory.
  const uint16_t* HWY_RESTRICT w0 = tile.values[0];
  const uint16_t* HWY_RESTRICT w1 = tile.values[1];
  const uint16_t* HWY_RESTRICT w2 = tile.values[2];
  const uint16_t* HWY_RESTRICT w3 = tile.values[3];
  const float* HWY_RESTRICT scales0 = tile.scales[0];
  const float* HWY_RESTRICT scales1 = tile.scales[1];
  const float* HWY_RESTRICT scales2 = tile.scales[2];
  const float* HWY_RESTRICT scales3 = tile.scales[3];
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  if (input.sums != nullptr) add_minimums(d, tile, input.sums, s0, s1, s2, s3);
  int64_t unit = 0;
  for (int64_t block = 0; block < tile.in_features; block += kInt4Block, unit += 2) {
    const int64_t a = unit >> tile.group_shift;
    const int64_t b = (unit + 1) >> tile.group_shift;
    const int64_t place = block / 4;
    const float* x = input.x + block;
    hwy::Prefetch(w0 + place + tile.next_values);
    hwy::Prefetch(w1 + place + tile.next_values);
    hwy::Prefetch(w2 + place + tile.next_values);
    hwy::Prefetch(w3 + place + tile.next_values);
    const auto add = [&](const uint16_t* words, const float* scales, Int4FloatVec& sum) HWY_ATTR {
      sum = hn::MulAdd(multiply_words(words, x), hn::Set(d, scales[a]), sum);
      sum = hn::MulAdd(multiply_words(words + kInt4Words, x + kMinInt4Group), hn::Set(d, scales[b]),
                       sum);
    };
    add(w0 + place, scales0, s0);
    add(w1 + place, scales1, s1);
    add(w2 + place, scales2, s2);
    add(w3 + place, scales3, s3);
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, s0));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, s1));
  sums[2] = hn::GetLane(hn::SumOfLanes(d, s2));
  sums[3] = hn::GetLane(hn::SumOfLanes(d, s3));
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
