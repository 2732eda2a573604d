// What weights in groups have in common: their scales and minimums in float32, and the sums of an
// input's groups. Included once for each instruction set.
#if defined(PREPACK_KERNELS_GROUPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_GROUPS_INL_H_
#undef PREPACK_KERNELS_GROUPS_INL_H_
#else
#define PREPACK_KERNELS_GROUPS_INL_H_
#endif

#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Vectors that divide every group.
using GroupFloats = hn::CappedTag<float, kMinInt8Group>;
using GroupFloatVec = hn::Vec<GroupFloats>;
constexpr int64_t kGroupLanes = hn::MaxLanes(GroupFloats());

/// How many of the smallest groups one has, as a power of two.
HWY_INLINE int group_shift(int64_t group_size, int64_t smallest) {
  int shift = 0;
  while ((smallest << shift) < group_size) ++shift;
  return shift;
}

/// Scales or minimums [first, first + count) in float32; zeros if there are none.
HWY_INLINE void widen_scales(DType dtype, const void* from, int64_t first, int64_t count,
                             float* to) {
  if (from == nullptr) {
    std::fill_n(to, count, 0.0F);
    return;
  }
  with_type(
      dtype, [&](const auto* numbers) HWY_ATTR { convert(count, numbers + first, to); }, from);
}

/// The sum of each group of x, to be multiplied with minimums.
HWY_INLINE void sum_groups(const float* x, int64_t in_features, int64_t group_size, float* sums) {
  const GroupFloats d;
  for (int64_t begin = 0; begin < in_features; begin += group_size) {
    auto sum = hn::Zero(d);
    for (int64_t i = begin; i < begin + group_size; i += kGroupLanes) {
      sum = hn::Add(sum, hn::LoadU(d, x + i));
    }
    *sums++ = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

/// Behind scales, minimums and sums of groups, which are read by whole vectors, as many zeros.
constexpr int64_t kGroupsPadding = 16;

/// One row x, as a format's tiles read it.
struct GroupsInput {
  const float* x;
  const float* sums;  // of each group of x, padded; null: there are no minimums
};

/// Four rows of a weight with their scales and minimums in float32, each followed by numbers that
/// are finite.
template <typename T>
struct GroupsTile {
  const T* values[4];
  const float* scales[4];
  const float* minimums[4];
  int64_t in_features;
  int64_t num_groups;   // of a row
  int group_shift;      // of the smallest groups to one, as a power of two
  int64_t next_values;  // from these rows to those that come next
};

/// What the minimums add to the products with the four rows, in lanes that are yet to be summed.
template <typename D, typename T>
HWY_INLINE void add_minimums(D d, const GroupsTile<T>& tile, const float* sums, hn::Vec<D>& s0,
                             hn::Vec<D>& s1, hn::Vec<D>& s2, hn::Vec<D>& s3) {
  constexpr int64_t kLanes = hn::MaxLanes(D());
  static_assert(kLanes <= kGroupsPadding);
  for (int64_t g = 0; g < tile.num_groups; g += kLanes) {
    const auto x = hn::LoadU(d, sums + g);
    s0 = hn::MulAdd(hn::LoadU(d, tile.minimums[0] + g), x, s0);
    s1 = hn::MulAdd(hn::LoadU(d, tile.minimums[1] + g), x, s1);
    s2 = hn::MulAdd(hn::LoadU(d, tile.minimums[2] + g), x, s2);
    s3 = hn::MulAdd(hn::LoadU(d, tile.minimums[3] + g), x, s3);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
