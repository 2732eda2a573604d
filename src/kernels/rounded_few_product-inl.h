// Products of quantized weights with few rounded rows, in tiles. Included once for each instruction
// set.
#if defined(PREPACK_KERNELS_ROUNDED_FEW_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_FEW_PRODUCT_INL_H_
#undef PREPACK_KERNELS_ROUNDED_FEW_PRODUCT_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_FEW_PRODUCT_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/rounded_few_input-inl.h"
#include "kernels/rounded_few_tile-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// The features of a stretch, which are done with a slice of k before its rest, and whose scales
// stay in the cache with the slice's x. A single part of the rows stays there as well, so that
// short stretches cost it nothing.
constexpr int64_t kFewStretch = 32;
constexpr int64_t kFewStretchOfOnePart = 8;
constexpr int64_t kFewCacheLine = 64;

/// Where the values of a weight lie in memory.
struct StoredValues {
  const int8_t* first;
  int64_t stride;  // bytes from feature to feature
};

inline StoredValues values_of(const WeightRows& weight, int64_t in_features) {
  if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    return {reinterpret_cast<const int8_t*>(int4->values), int4_row_bytes(in_features)};
  }
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  return {int8 != nullptr ? int8->values : std::get<Int8GroupRows>(weight).values, in_features};
}

/// One product, whose x is put into the order of the tiles first.
template <typename Weights>
class FewRowsProduct {
 public:
  using X = typename Weights::X;
  using Shape = FewRowsShape<Weights>;

  explicit FewRowsProduct(const RoundedProduct<X>& product)
      : product_(product),
        values_(values_of(product.weight, product.in_features)),
        weight_scales_(group_scales(product.weight)),
        shape_(product, weight_scales_),
        stretch_(shape_.num_parts == 1 ? kFewStretchOfOnePart : kFewStretch),
        scratch_(FewRowsInput<Weights>::scratch_size(shape_) + 2 * kScalesSize +
                     kFewStretch * kFewSlice / 4 +
                     shape_.num_parts * shape_.part_rows * kFewStretch,
                 FewRowsInput<Weights>::kScratchParts + 4),
        input_(product, shape_, scratch_),
        scales_(scratch_.take(kScalesSize)),
        minimums_(scratch_.take(kScalesSize)),
        padded_values_(reinterpret_cast<int8_t*>(scratch_.take(kFewStretch * kFewSlice / 4))),
        sums_(scratch_.take(shape_.num_parts * shape_.part_rows * kFewStretch)) {}

  void multiply(int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += stretch_) {
      const int64_t count = std::min(stretch_, last - n);
      for (int64_t slice = 0; slice < shape_.num_slices; ++slice) {
        if constexpr (Shape::kUnit != 0) {
          widen(weight_scales_->scales, n, count, slice, scales_);
          if (shape_.has_minimums) widen(weight_scales_->minimums, n, count, slice, minimums_);
        }
        const auto values = slice_values(n, count, slice);
        for (int64_t part = 0; part < shape_.num_parts; ++part) {
          unrolled<kFewRows>([&]<int r>() HWY_ATTR {
            if (shape_.part_rows == r + 1) multiply_part<r + 1>(values, count, slice, part);
          });
        }
      }
      store_rounded_sums(product_, sums_, kFewStretch, 0, product_.num_rows, n, count);
    }
  }

 private:
  static constexpr int64_t kScalesPadding = kRoundedLanes + Shape::kUnits;
  static constexpr int64_t kScalesSize = kFewStretch * Shape::kSumsStride + kScalesPadding;

  /// A number for each group of a slice of some features, with features `shape_.slice_groups`
  /// apart, and finite ones up to whole vectors and blocks of x.
  void widen(const void* numbers, int64_t first, int64_t count, int64_t slice, float* to) {
    const auto dtype = weight_scales_->dtype;
    std::fill_n(to + count * shape_.slice_groups, kScalesPadding, 0.0F);
    if (shape_.num_slices == 1) {
      widen_scales(dtype, numbers, first * shape_.row_groups, count * shape_.row_groups, to);
      fetch(numbers, (first + stretch_) * shape_.row_groups, count * shape_.row_groups);
      return;
    }
    const int64_t first_group = slice * Shape::kSliceBlocks * Shape::kUnits >> shape_.shift;
    const int64_t num_groups = std::min(shape_.slice_groups, shape_.row_groups - first_group);
    for (int64_t row = first; row < first + count; ++row, to += shape_.slice_groups) {
      widen_scales(dtype, numbers, row * shape_.row_groups + first_group, num_groups, to);
      std::fill(to + num_groups, to + shape_.slice_groups, 0.0F);
      fetch(numbers, (row + stretch_) * shape_.row_groups + first_group, num_groups);
    }
  }

  /// Scales or minimums that come next.
  void fetch(const void* numbers, int64_t first, int64_t count) const {
    const auto fetch_numbers = [&](const auto* from) HWY_ATTR {
      constexpr int64_t kOfLine = kFewCacheLine / sizeof(*from);
      for (int64_t i = 0; i < count; i += kOfLine) hwy::Prefetch(from + first + i);
    };
    with_type(weight_scales_->dtype, fetch_numbers, numbers);
  }

  /// Values of a slice, which may be read by whole blocks.
  StoredValues slice_values(int64_t first, int64_t count, int64_t slice) {
    const int64_t begin = slice * Shape::kSliceBlocks * Weights::kBytes;
    const StoredValues stored = {values_.first + first * values_.stride + begin, values_.stride};
    const int64_t size = values_.stride - begin;
    if (size >= shape_.slice_blocks(slice) * Weights::kBytes) return stored;
    for (int64_t i = 0; i < count; ++i) {
      const auto end =
          std::copy_n(stored.first + i * stored.stride, size, padded_values_ + i * kFewSlice);
      std::fill(end, padded_values_ + (i + 1) * kFewSlice, int8_t{0});
    }
    return {padded_values_, kFewSlice};
  }

  template <int kRows>
  void multiply_part(const StoredValues& values, int64_t count, int64_t slice, int64_t part) {
    constexpr int kFeatures = kFewFeatures<kRows>;
    FewRowsTile<Weights, kFeatures> tile;
    tile.x = input_.x(part, slice);
    tile.x_scales = input_.scales(part, slice);
    tile.x_sums = input_.sums(part, slice);
    tile.sums_stride = Shape::kSumsStride;
    tile.num_blocks = shape_.slice_blocks(slice);
    tile.num_groups = shape_.slice_groups;
    tile.group_shift = shape_.shift;
    tile.ahead = kFewFeaturesAhead<Weights> * values.stride;
    for (int64_t i = 0; i < count; i += kFeatures) {
      const int64_t num_features = std::min<int64_t>(count - i, kFeatures);
      for (int64_t f = 0; f < kFeatures; ++f) {
        // Past the last feature it is computed again.
        const int64_t feature = i + std::min(f, num_features - 1);
        tile.values[f] = values.first + feature * values.stride;
        tile.scales[f] = scales_ + feature * shape_.slice_groups;
        tile.minimums[f] =
            shape_.has_minimums ? minimums_ + feature * shape_.slice_groups : nullptr;
      }
      float sums[kFeatures][kRows];
      multiply_few_tile<kRows>(tile, sums);
      float* to = sums_ + part * kRows * kFewStretch + i;
      for (int64_t f = 0; f < num_features; ++f) {
        for (int64_t r = 0; r < kRows; ++r) {
          float& sum = to[r * kFewStretch + f];
          sum = slice == 0 ? sums[f][r] : sum + sums[f][r];
        }
      }
    }
  }

  const RoundedProduct<X>& product_;
  const StoredValues values_;
  const GroupScales* weight_scales_;  // null: one for each row
  const Shape shape_;
  const int64_t stretch_;
  Scratch scratch_;
  const FewRowsInput<Weights> input_;
  float* scales_;          // [kFewStretch, kSumsStride]
  float* minimums_;        // likewise
  int8_t* padded_values_;  // [kFewStretch, kFewSlice]
  float* sums_;            // [num_parts, part_rows, kFewStretch]
};

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
