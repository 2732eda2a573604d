#include "kernels/byte_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/byte_tiles.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>

#include "kernels/rounded_group-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kRows = ByteTiles::kRows;
constexpr int64_t kBlock = ByteTiles::kBlock;
constexpr int64_t kGroup = ByteTiles::kGroup;
constexpr int64_t kTogether = 4;  // numbers of a row that follow each other
static_assert(kRows % hn::MaxLanes(Floats()) == 0);

/// A group of a row.
/// @param size  whole blocks
/// @return its scale
float round_group(const float* group, int64_t size, int8_t* to) {
  const Floats d;
  const auto [scale, inverse] = scale_of<int8_t>(d, group, size);
  for (int64_t i = 0; i < size; i += num_lanes()) {
    const auto value = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), hn::Set(d, inverse)));
    const hn::Rebind<int8_t, Floats> bytes;
    hn::StoreU(hn::DemoteTo(bytes, value), bytes, to + i);
  }
  return scale;
}

template <typename T>
void round_tiles(const T* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                 const ByteTiles& to) {
  const int64_t num_blocks = ByteTiles::num_blocks(in_features);
  const int64_t num_groups = ByteTiles::num_groups(in_features);
  float group[kGroup];
  HWY_ALIGN int8_t rounded[kRows * kGroup];
  for (int64_t tile = first; tile < last; ++tile) {
    for (int64_t g = 0; g < num_groups; ++g) {
      const int64_t begin = g * kGroup;
      const int64_t size = std::min(kGroup, num_blocks * kBlock - begin);
      const int64_t count = std::min(kGroup, in_features - begin);
      std::fill(group + count, group + size, 0.0F);
      float* const scales = to.scales + (tile * num_groups + g) * kRows;
      for (int64_t i = 0; i < kRows; ++i) {
        const int64_t row = tile * kRows + i;
        if (row < num_rows) {
          convert(count, x + row * in_features + begin, group);
          scales[i] = round_group(group, size, rounded + i * size);
        } else {
          std::fill_n(rounded + i * size, size, int8_t{0});
          scales[i] = 0;
        }
      }
      // Words of 32 bits, whatever they mean.
      int8_t* const values = to.values + (tile * num_blocks * kBlock + begin) * kRows;
      transpose(reinterpret_cast<const float*>(rounded), kRows, size / kTogether,
                reinterpret_cast<float*>(values));
    }
  }
}

void round_to_tiles(DType dtype, const void* x, int64_t num_rows, int64_t in_features,
                    int64_t first, int64_t last, const ByteTiles& to) {
  with_type(
      dtype,
      [&](const auto* numbers)
          HWY_ATTR { round_tiles(numbers, num_rows, in_features, first, last, to); },
      x);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(round_to_tiles);

void round_to_tiles(DType dtype, const void* x, int64_t num_rows, int64_t in_features,
                    int64_t first, int64_t last, const ByteTiles& to) {
  HWY_DYNAMIC_DISPATCH(round_to_tiles)(dtype, x, num_rows, in_features, first, last, to);
}

}  // namespace prepack
#endif
