#include "kernels/rounded_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/rounded_group-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/transpose-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// Never more lanes than what is summed has numbers.
using Lanes = hn::CappedTag<float, kMinSumGroup>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());

template <typename T>
constexpr int64_t kGroup = RoundedRows<T>::kGroup;

template <typename T>
constexpr int64_t kMaxSums = kGroup<T> / kMinSumGroup;

template <typename T>
struct RoundedGroup {
  float scale;
  float sums[kMaxSums<T>];  // of kMinSumGroup numbers
};

/// @param group  kGroup<T> numbers
template <typename T>
RoundedGroup<T> round_group(const float* group, const GroupScale& scale, T* values) {
  const Lanes d;
  const hn::Rebind<T, Lanes> integers;
  const auto inverse = hn::Set(d, scale.inverse);
  RoundedGroup<T> rounded{scale.scale, {}};
  for (int64_t part = 0; part < kMaxSums<T>; ++part) {
    auto sum = hn::Zero(d);
    for (int64_t i = part * kMinSumGroup; i < (part + 1) * kMinSumGroup; i += kLanes) {
      const auto value = hn::NearestInt(hn::Mul(hn::LoadU(d, group + i), inverse));
      sum = hn::Add(sum, hn::ConvertTo(d, value));
      hn::StoreU(hn::DemoteTo(integers, value), integers, values + i);
    }
    rounded.sums[part] = scale.scale * hn::GetLane(hn::SumOfLanes(d, sum));
  }
  return rounded;
}

/// The sums of a group's parts.
template <typename T>
HWY_INLINE void store_sums(const RoundedGroup<T>& group, int64_t sum_group, float* to) {
  const int64_t parts = sum_group / kMinSumGroup;
  for (int64_t part = 0; part < kMaxSums<T>; part += parts, ++to) {
    *to = group.sums[part];
    for (int64_t i = 1; i < parts; ++i) *to += group.sums[part + i];
  }
}

/// Numbers in float32, which are x's where that can be.
/// @param count   numbers there are; the others up to `size` are zeros
/// @param padded  for others, [size]
template <typename X>
HWY_INLINE const float* widen_group(const X* x, int64_t count, int64_t size, float* padded) {
  if constexpr (std::is_same_v<X, float>) {
    if (count == size) return x;
  }
  if (count > 0) convert(count, x, padded);
  std::fill(padded + count, padded + size, 0.0F);
  return padded;
}

/// Row by row.
template <typename X, typename T>
void round_single_rows(const X* x, int64_t num_rows, int64_t in_features, int64_t first,
                       int64_t last, const RoundedRows<T>& to) {
  constexpr int64_t kSize = kGroup<T>;
  const int64_t row_size = RoundedRows<T>::num_blocks(in_features) * RoundedRows<T>::kBlock;
  for (int64_t row = first; row < std::min(last, num_rows); ++row) {
    for (int64_t begin = 0; begin < row_size; begin += to.scale_group) {
      const int64_t size = std::min(to.scale_group, row_size - begin);
      const int64_t count = std::clamp<int64_t>(in_features - begin, 0, size);
      float padded[RoundedRows<T>::kMaxScaleGroup];
      const float* numbers = widen_group(x + row * in_features + begin, count, size, padded);
      const auto scale = scale_of<T>(Lanes(), numbers, size);
      for (int64_t i = 0; i < size; i += kSize) {
        const int64_t place = (row * row_size + begin + i) / kSize;
        const auto rounded = round_group(numbers + i, scale, to.values + place * kSize);
        to.scales[place] = rounded.scale;
        store_sums(rounded, to.sum_group, to.sums + place * (kSize / to.sum_group));
      }
    }
  }
}

// Vectors that hold a number of each row of a tile.
constexpr int64_t kTileWidth = 16;
static_assert(kRoundedTileRows <= kTileWidth && kTileWidth % hn::MaxLanes(Floats()) == 0);

/// Words of 32 bits of a tile, side by side.
HWY_INLINE void store_tile_row(const void* from, void* to) {
  std::memcpy(to, from, kRoundedTileRows * sizeof(int32_t));
}

/// One group of a tile's rows at once: side by side, no lanes need be added to each other. The
/// results are those of round_group.
/// @param columns  [kGroup<T>, kTileWidth]
/// @param place    of the group, by tiles
template <typename T>
HWY_INLINE void round_tile_group(const float* columns, int64_t place, const RoundedRows<T>& to) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> words;
  constexpr int64_t kSize = kGroup<T>;
  constexpr int kTogether = RoundedRows<T>::kTogether;
  constexpr int kBits = 8 * sizeof(T);
  const int64_t parts = to.sum_group / kMinSumGroup;
  const int64_t num_sums = kMaxSums<T> / parts;
  HWY_ALIGN int32_t values[kSize / kTogether * kTileWidth];
  HWY_ALIGN float scales[kTileWidth];
  HWY_ALIGN float sums[kMaxSums<T> * kTileWidth];
  HWY_ALIGN int32_t corrections[kTileWidth];
  for (int64_t i = 0; i < kTileWidth; i += num_lanes()) {
    auto largest = hn::Zero(d);
    auto not_finite = hn::Zero(d);  // or else NaN
    for (int64_t k = 0; k < kSize; ++k) {
      const auto x = hn::Load(d, columns + k * kTileWidth + i);
      largest = hn::Max(largest, hn::Abs(x));
      not_finite = hn::Add(not_finite, hn::Sub(x, x));
    }
    const auto scale =
        hn::Div(largest, hn::Set(d, static_cast<float>(std::numeric_limits<T>::max())));
    // Smaller ones have inverses that are not finite.
    const auto is_large = hn::Ge(scale, hn::Set(d, std::numeric_limits<float>::min()));
    const auto inverse = hn::IfThenElseZero(is_large, hn::Div(hn::Set(d, 1.0F), scale));
    const auto step = hn::Add(hn::IfThenElseZero(is_large, scale), not_finite);
    auto total = hn::Zero(words);
    for (int64_t part = 0; part < kMaxSums<T>; ++part) {
      auto of_part = hn::Zero(words);
      for (int64_t k = part * kMinSumGroup; k < (part + 1) * kMinSumGroup; k += kTogether) {
        auto word = hn::Zero(words);
        unrolled<kTogether>([&]<int j>() HWY_ATTR {
          const auto x = hn::Load(d, columns + (k + j) * kTileWidth + i);
          const auto value = hn::NearestInt(hn::Mul(x, inverse));
          of_part = hn::Add(of_part, value);
          const auto bits = hn::And(value, hn::Set(words, (int32_t{1} << kBits) - 1));
          word = hn::Or(word, hn::ShiftLeft<kBits * j>(bits));
        });
        hn::Store(word, words, values + k / kTogether * kTileWidth + i);
      }
      const auto scaled = hn::Mul(step, hn::ConvertTo(d, of_part));
      float* sum = sums + part / parts * kTileWidth + i;
      hn::Store(part % parts == 0 ? scaled : hn::Add(hn::Load(d, sum), scaled), d, sum);
      total = hn::Add(total, of_part);
    }
    hn::Store(step, d, scales + i);
    // Of a group that is not finite any: its scale makes the results NaN.
    hn::Store(hn::ShiftLeft<7>(hn::Neg(total)), words, corrections + i);
  }
  T* const to_values = to.values + place * kSize * kRoundedTileRows;
  for (int64_t k = 0; k < kSize; k += kTogether) {
    store_tile_row(values + k / kTogether * kTileWidth, to_values + k * kRoundedTileRows);
  }
  store_tile_row(scales, to.scales + place * kRoundedTileRows);
  if (to.corrections != nullptr) {
    store_tile_row(corrections, to.corrections + place * kRoundedTileRows);
  }
  for (int64_t i = 0; i < num_sums; ++i) {
    store_tile_row(sums + i * kTileWidth, to.sums + (place * num_sums + i) * kRoundedTileRows);
  }
}

template <typename X, typename T>
void round_tiles(const X* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                 const RoundedRows<T>& to) {
  constexpr int64_t kSize = kGroup<T>;
  const int64_t num_groups =
      RoundedRows<T>::num_blocks(in_features) * (RoundedRows<T>::kBlock / kSize);
  HWY_ALIGN float rows[kTileWidth * kSize] = {};
  HWY_ALIGN float columns[kSize * kTileWidth];
  for (int64_t tile = first; tile < last; ++tile) {
    const int64_t row = tile * kRoundedTileRows;
    const int64_t count = std::min(kRoundedTileRows, num_rows - row);
    for (int64_t g = 0; g < num_groups; ++g) {
      const int64_t size = std::clamp<int64_t>(in_features - g * kSize, 0, kSize);
      for (int64_t i = 0; i < kRoundedTileRows; ++i) {
        const int64_t there = i < count ? size : 0;
        if (there > 0) convert(there, x + (row + i) * in_features + g * kSize, rows + i * kSize);
        std::fill(rows + i * kSize + there, rows + (i + 1) * kSize, 0.0F);
      }
      transpose(rows, kTileWidth, kSize, columns);
      round_tile_group(columns, tile * num_groups + g, to);
    }
  }
}

template <typename T>
void round_any(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
               int64_t last, const RoundedRows<T>& to) {
  with_type(
      dtype,
      [&](const auto* numbers) HWY_ATTR {
        if (to.tile_rows == 1) {
          round_single_rows(numbers, num_rows, in_features, first, last, to);
        } else {
          round_tiles(numbers, num_rows, in_features, first, last, to);
        }
      },
      x);
}

void round_to_int16(DType dtype, const void* x, int64_t num_rows, int64_t in_features,
                    int64_t first, int64_t last, const RoundedRows<int16_t>& to) {
  round_any(dtype, x, num_rows, in_features, first, last, to);
}

void round_to_int8(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                   int64_t last, const RoundedRows<int8_t>& to) {
  round_any(dtype, x, num_rows, in_features, first, last, to);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(round_to_int16);
HWY_EXPORT(round_to_int8);

void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int16_t>& to) {
  HWY_DYNAMIC_DISPATCH(round_to_int16)(dtype, x, num_rows, in_features, first, last, to);
}

void round_rows(DType dtype, const void* x, int64_t num_rows, int64_t in_features, int64_t first,
                int64_t last, const RoundedRows<int8_t>& to) {
  HWY_DYNAMIC_DISPATCH(round_to_int8)(dtype, x, num_rows, in_features, first, last, to);
}

}  // namespace prepack
#endif
