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
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// Never more lanes than a block has words.
using Int4Floats = hn::CappedTag<float, 8>;
using Int4FloatVec = hn::Vec<Int4Floats>;
using Int4Words = hn::Rebind<uint32_t, Int4Floats>;
constexpr int64_t kInt4Words = 8;
constexpr int64_t kInt4Lanes = hn::MaxLanes(Int4Floats());

/// What a value is multiplied by while it is still in its place of the word.
template <int kPlace>
constexpr float kInt4PlaceValue = kPlace == 7 ? 1.0F : static_cast<float>(1 << (4 * kPlace));

/// The values in place kPlace of each word, times kInt4PlaceValue<kPlace>.
template <int kPlace>
HWY_INLINE Int4FloatVec int4_values(hn::Vec<Int4Words> words) {
  const Int4Words d;
  const hn::Rebind<int32_t, Int4Floats> integers;
  // The uppermost would be a sign if it stayed in place.
  const auto values =
      kPlace == 7 ? hn::ShiftRight<28>(words) : hn::And(words, hn::Set(d, 0xFU << (4 * kPlace)));
  return hn::ConvertTo(Int4Floats(), hn::BitCast(integers, values));
}

/// Places kFirst to kFirst + 3 of a block's words, which are half of its numbers.
template <int kFirst>
HWY_INLINE void widen_half_block(const uint32_t* words, float scale, float minimum, float* to) {
  const Int4Floats d;
  const hn::Rebind<int32_t, Int4Floats> integers;
  const auto factor = hn::Set(d, scale);
  const auto shift = hn::Set(d, minimum);
  const auto mask = hn::Set(Int4Words(), 0xFU);
  for (int64_t c = 0; c < kInt4Words; c += kInt4Lanes) {
    const auto packed = hn::LoadU(Int4Words(), words + c);
    const auto store = [&]<int kPlace>() HWY_ATTR {
      const auto value = hn::And(hn::ShiftRight<4 * kPlace>(packed), mask);
      hn::StoreU(hn::MulAdd(hn::ConvertTo(d, hn::BitCast(integers, value)), factor, shift), d,
                 to + (kPlace - kFirst) * kInt4Words + c);
    };
    store.template operator()<kFirst>();
    store.template operator()<kFirst + 1>();
    store.template operator()<kFirst + 2>();
    store.template operator()<kFirst + 3>();
  }
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
    const int64_t first_half = k / kMinInt4Group;
    const int64_t last_half = (stretch_end - 1) / kMinInt4Group;
    const int64_t first_group = first_half >> shift;
    const int64_t num_groups = (last_half >> shift) + 1 - first_group;
    widen_scales(groups.dtype, groups.scales, row_groups + first_group, num_groups, scales);
    widen_scales(groups.dtype, groups.minimums, row_groups + first_group, num_groups, minimums);
    for (int64_t half = first_half; half <= last_half; half += 2, to += kInt4Block) {
      const auto* block = values + half / 2 * (kInt4Block / 2);
      const auto* words = reinterpret_cast<const uint32_t*>(block);
      // Of the row that is in this one's place in the next tile of four.
      hwy::Prefetch(block + 4 * row_bytes);
      const int64_t a = (half >> shift) - first_group;
      widen_half_block<0>(words, scales[a], minimums[a], to);
      if (half == last_half) break;
      const int64_t b = ((half + 1) >> shift) - first_group;
      widen_half_block<4>(words, scales[b], minimums[b], to + kMinInt4Group);
    }
    k = stretch_end;
  }
}

/// One row x, prepared for products with values that stay in their places: that of a value is
/// divided by its place's, which loses nothing.
/// @param to  [whole blocks], with zeros at the end
HWY_INLINE void divide_by_places(const float* x, int64_t in_features, float* to) {
  const Int4Floats d;
  constexpr float kFactors[8] = {1 / kInt4PlaceValue<0>, 1 / kInt4PlaceValue<1>,
                                 1 / kInt4PlaceValue<2>, 1 / kInt4PlaceValue<3>,
                                 1 / kInt4PlaceValue<4>, 1 / kInt4PlaceValue<5>,
                                 1 / kInt4PlaceValue<6>, 1 / kInt4PlaceValue<7>};
  for (int64_t i = 0; i < in_features; i += kInt4Lanes) {
    const auto factor = hn::Set(d, kFactors[i % kInt4Block / kInt4Words]);
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), factor), d, to + i);
  }
  std::fill(to + in_features, to + 2 * int4_row_bytes(in_features), 0.0F);
}

/// The sum over places kFirst to kFirst + 3 of their values times x.
template <int kFirst>
HWY_INLINE Int4FloatVec multiply_half_block(hn::Vec<Int4Words> words, Int4FloatVec x0,
                                            Int4FloatVec x1, Int4FloatVec x2, Int4FloatVec x3) {
  auto sum = hn::Mul(int4_values<kFirst>(words), x0);
  sum = hn::MulAdd(int4_values<kFirst + 1>(words), x1, sum);
  sum = hn::MulAdd(int4_values<kFirst + 2>(words), x2, sum);
  return hn::MulAdd(int4_values<kFirst + 3>(words), x3, sum);
}

/// sums[i] = the product of one row x, divided by places, with row i of the tile.
HWY_INLINE void multiply_groups_tile(const GroupsTile<uint32_t>& tile, const GroupsInput& input,
                                     float* sums) {
  const Int4Floats d;
  const Int4Words words;
  // Each by name, because compilers keep arrays of vectors in memory.
  const uint32_t* HWY_RESTRICT w0 = tile.values[0];
  const uint32_t* HWY_RESTRICT w1 = tile.values[1];
  const uint32_t* HWY_RESTRICT w2 = tile.values[2];
  const uint32_t* HWY_RESTRICT w3 = tile.values[3];
  const float* HWY_RESTRICT scales0 = tile.scales[0];
  const float* HWY_RESTRICT scales1 = tile.scales[1];
  const float* HWY_RESTRICT scales2 = tile.scales[2];
  const float* HWY_RESTRICT scales3 = tile.scales[3];
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  if (input.sums != nullptr) add_minimums(d, tile, input.sums, s0, s1, s2, s3);
  int64_t half = 0;
  for (int64_t block = 0; block < tile.in_features; block += kInt4Block, half += 2) {
    const int64_t a = half >> tile.group_shift;
    const int64_t b = (half + 1) >> tile.group_shift;
    const int64_t place = block / 8;
    hwy::Prefetch(w0 + place + tile.next_values);
    hwy::Prefetch(w1 + place + tile.next_values);
    hwy::Prefetch(w2 + place + tile.next_values);
    hwy::Prefetch(w3 + place + tile.next_values);
    for (int64_t c = 0; c < kInt4Words; c += kInt4Lanes) {
      const auto p0 = hn::LoadU(words, w0 + place + c);
      const auto p1 = hn::LoadU(words, w1 + place + c);
      const auto p2 = hn::LoadU(words, w2 + place + c);
      const auto p3 = hn::LoadU(words, w3 + place + c);
      const float* x = input.x + block + c;
      auto x0 = hn::LoadU(d, x), x1 = hn::LoadU(d, x + 8);
      auto x2 = hn::LoadU(d, x + 16), x3 = hn::LoadU(d, x + 24);
      const auto add = [&]<int kFirst>(const auto& p, float scale, Int4FloatVec& sum) HWY_ATTR {
        sum = hn::MulAdd(multiply_half_block<kFirst>(p, x0, x1, x2, x3), hn::Set(d, scale), sum);
      };
      add.template operator()<0>(p0, scales0[a], s0);
      add.template operator()<0>(p1, scales1[a], s1);
      add.template operator()<0>(p2, scales2[a], s2);
      add.template operator()<0>(p3, scales3[a], s3);
      x0 = hn::LoadU(d, x + 32), x1 = hn::LoadU(d, x + 40);
      x2 = hn::LoadU(d, x + 48), x3 = hn::LoadU(d, x + 56);
      add.template operator()<4>(p0, scales0[b], s0);
      add.template operator()<4>(p1, scales1[b], s1);
      add.template operator()<4>(p2, scales2[b], s2);
      add.template operator()<4>(p3, scales3[b], s3);
    }
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, s0));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, s1));
  sums[2] = hn::GetLane(hn::SumOfLanes(d, s2));
  sums[3] = hn::GetLane(hn::SumOfLanes(d, s3));
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
