#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_few_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>

#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/rounded_block_product-inl.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// Rows whose x stays in a usual cache of 32 KB for as much of k as is done for a stretch of
// features before the rest; and the features of a stretch, whose scales stay there too. A single
// part of the rows stays there as well, so that short stretches cost it nothing.
constexpr int kMaxRows = 4;
constexpr int64_t kSlice = 2048;
constexpr int64_t kMaxStretch = 32;
constexpr int64_t kStretchOfOnePart = 8;
constexpr int64_t kCacheLine = 64;

/// So many features ahead are fetched from memory: of 4 bits, whose bytes vectors of 512 bits are
/// soon done with, more.
template <typename Weights>
constexpr int kFeaturesAhead = kRoundedLanes == 16 && Weights::kBytes < kRoundedBlock ? 12 : 6;

/// So many features at a time that their sums stay in registers.
template <int kRows>
constexpr int kTileFeatures = kRows <= 2 ? 4 : 2;

/// A slice of k of a few features and rows.
template <typename Weights, int kFeatures>
struct Tile {
  const int8_t* values[kFeatures];
  const float* scales[kFeatures];    // [num_groups]; of weights with a scale for each row unused
  const float* minimums[kFeatures];  // [num_groups], up to whole vectors; null for none
  const typename Weights::X* x;      // [num_blocks, rows, kRoundedBlock], in the weights' order
  const float* x_scales;             // [num_blocks, rows, Weights::kXScales]
  const float* x_sums;               // [rows, num_groups] and zeros, with rows `sums_stride` apart
  int64_t sums_stride;               // whole vectors
  int64_t num_blocks;
  int64_t num_groups;
  int group_shift;  // of units to a group, as a power of two
  int64_t ahead;    // bytes from a feature to one that comes later
};

/// to[f][r] = the product of feature f with row r over the slice.
template <int kRows, typename Weights, int kFeatures>
HWY_FLATTEN void multiply_tile(const Tile<Weights, kFeatures>& tile, float (*to)[kRows]) {
  using Lanes = typename Weights::Lanes;
  constexpr int64_t kLanes = hn::MaxLanes(Lanes());
  const Lanes d;
  hn::Vec<Lanes> sums[kFeatures][kRows];
  unrolled<kFeatures>([&]<int f>() HWY_ATTR {
    unrolled<kRows>([&]<int r>() HWY_ATTR { sums[f][r] = hn::Zero(d); });
  });
  if (tile.minimums[0] != nullptr) {
    for (int64_t g = 0; g < tile.num_groups; g += kLanes) {
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        const auto minimums = hn::LoadU(d, tile.minimums[f] + g);
        unrolled<kRows>([&]<int r>() HWY_ATTR {
          sums[f][r] = hn::MulAdd(minimums, hn::LoadU(d, tile.x_sums + r * tile.sums_stride + g),
                                  sums[f][r]);
        });
      });
    }
  }
  const auto* HWY_RESTRICT x = tile.x;
  const float* HWY_RESTRICT x_scales = tile.x_scales;
  for (int64_t b = 0; b < tile.num_blocks; ++b) {
    const int64_t group = b * Weights::kUnits >> tile.group_shift;
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      const int8_t* values = tile.values[f] + b * Weights::kBytes;
      hwy::Prefetch(values + tile.ahead);
      typename Weights::Block block;
      Weights::load(values, tile.scales[f] + group, block);
      unrolled<kRows>([&]<int r>() HWY_ATTR {
        sums[f][r] = Weights::add_products(block, x + r * kRoundedBlock,
                                           x_scales + r * Weights::kXScales, sums[f][r]);
      });
    });
    x += kRows * kRoundedBlock;
    x_scales += kRows * Weights::kXScales;
  }
  unrolled<kFeatures>([&]<int f>() HWY_ATTR { store_row_sums<kRows>(d, sums[f], to[f]); });
}

/// Where the values of a weight lie in memory.
struct StoredValues {
  const int8_t* first;
  int64_t stride;  // bytes from feature to feature
};

StoredValues values_of(const WeightRows& weight, int64_t in_features) {
  if (const auto* int4 = std::get_if<Int4Rows>(&weight)) {
    return {reinterpret_cast<const int8_t*>(int4->values), int4_row_bytes(in_features)};
  }
  const auto* int8 = std::get_if<Int8Rows>(&weight);
  return {int8 != nullptr ? int8->values : std::get<Int8GroupRows>(weight).values, in_features};
}

/// One product, whose x is put into the order of the tiles first.
template <typename Weights>
class Product {
 public:
  using X = typename Weights::X;

  explicit Product(const RoundedProduct<X>& product)
      : product_(product),
        values_(values_of(product.weight, product.in_features)),
        scales_of_weight_(group_scales(product.weight)),
        has_minimums_(scales_of_weight_ != nullptr && scales_of_weight_->minimums != nullptr),
        num_parts_((product.num_rows + kMaxRows - 1) / kMaxRows),
        part_rows_((product.num_rows + num_parts_ - 1) / num_parts_),
        stretch_(num_parts_ == 1 ? kStretchOfOnePart : kMaxStretch),
        num_blocks_(RoundedRows<X>::num_blocks(product.in_features)),
        num_slices_((num_blocks_ + kSliceBlocks - 1) / kSliceBlocks),
        row_groups_(
            scales_of_weight_ == nullptr ? 0 : product.in_features / scales_of_weight_->group_size),
        group_shift_(row_groups_ == 0 ? 0 : group_shift(scales_of_weight_->group_size, kUnit)),
        slice_groups_(num_slices_ == 1
                          ? row_groups_
                          : std::max<int64_t>(kSliceBlocks * kUnits >> group_shift_, 1)),
        scratch_(num_parts_ * (x_size() / kTogether<X> + x_scales_size() +
                               num_slices_ * part_rows_ * kSumsStride) +
                     2 * kScalesSize + kMaxStretch * kSlice / 4 +
                     num_parts_ * part_rows_ * kMaxStretch,
                 7),
        x_(reinterpret_cast<X*>(scratch_.take(num_parts_ * x_size() / kTogether<X>))),
        x_scales_(scratch_.take(num_parts_ * x_scales_size())),
        x_sums_(scratch_.take(num_parts_ * num_slices_ * part_rows_ * kSumsStride)),
        scales_(scratch_.take(kScalesSize)),
        minimums_(scratch_.take(kScalesSize)),
        padded_values_(reinterpret_cast<int8_t*>(scratch_.take(kMaxStretch * kSlice / 4))),
        sums_(scratch_.take(num_parts_ * part_rows_ * kMaxStretch)) {
    order_x();
  }

  void multiply(int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += stretch_) {
      const int64_t count = std::min(stretch_, last - n);
      for (int64_t slice = 0; slice < num_slices_; ++slice) {
        if constexpr (kUnit != 0) {
          widen(scales_of_weight_->scales, n, count, slice, scales_);
          if (has_minimums_) widen(scales_of_weight_->minimums, n, count, slice, minimums_);
        }
        const auto values = slice_values(n, count, slice);
        for (int64_t part = 0; part < num_parts_; ++part) {
          unrolled<kMaxRows>([&]<int r>() HWY_ATTR {
            if (part_rows_ == r + 1) multiply_part<r + 1>(values, count, slice, part);
          });
        }
      }
      store_rounded_sums(product_, sums_, kMaxStretch, 0, product_.num_rows, n, count);
    }
  }

 private:
  static constexpr int64_t kUnit = Weights::kUnit;
  static constexpr int64_t kUnits = std::max<int64_t>(Weights::kUnits, 1);  // of a block
  static constexpr int64_t kSliceBlocks = kSlice / kRoundedBlock;
  static constexpr int64_t kSumsStride = (kSliceBlocks * kUnits + kRoundedLanes - 1) /
                                         kRoundedLanes * kRoundedLanes;  // of a slice's units

  static constexpr int64_t kScalesPadding = kRoundedLanes + kUnits;
  static constexpr int64_t kScalesSize = kMaxStretch * kSumsStride + kScalesPadding;

  // Of a part.
  int64_t x_size() const { return num_blocks_ * part_rows_ * kRoundedBlock; }
  int64_t x_scales_size() const { return num_blocks_ * part_rows_ * Weights::kXScales; }
  int64_t slice_blocks(int64_t slice) const {
    return std::min(kSliceBlocks, num_blocks_ - slice * kSliceBlocks);
  }
  float* x_sums(int64_t part, int64_t slice) const {
    return x_sums_ + (part * num_slices_ + slice) * part_rows_ * kSumsStride;
  }

  /// x, its scales and its sums, part by part. What is not there is zero.
  void order_x() {
    if (has_minimums_) {
      std::fill_n(x_sums_, num_parts_ * num_slices_ * part_rows_ * kSumsStride, 0.0F);
    }
    const int64_t sums_of_block = kRoundedBlock / product_.x.sum_group;
    for (int64_t i = 0; i < num_parts_ * part_rows_; ++i) {
      const int64_t part = i / part_rows_;
      const int64_t r = i % part_rows_;
      for (int64_t b = 0; b < num_blocks_; ++b) {
        const int64_t place = (part * num_blocks_ + b) * part_rows_ + r;
        X* to = x_ + place * kRoundedBlock;
        float* scales = x_scales_ + place * Weights::kXScales;
        if (i >= product_.num_rows) {
          std::fill_n(to, kRoundedBlock, X{0});
          std::fill_n(scales, Weights::kXScales, 0.0F);
          continue;
        }
        const int64_t from = i * num_blocks_ + b;
        Weights::order_x(product_.x.values + from * kRoundedBlock,
                         product_.x.scales + from * (kRoundedBlock / RoundedRows<X>::kGroup), to,
                         scales);
        if (!has_minimums_) continue;
        add_sums(product_.x.sums + from * sums_of_block, b % kSliceBlocks,
                 x_sums(part, b / kSliceBlocks) + r * kSumsStride);
      }
    }
  }

  /// To those of a slice's groups, of a block of it.
  void add_sums(const float* sums, int64_t block, float* to) const {
    const int64_t sums_of_unit = kUnit / product_.x.sum_group;
    for (int64_t u = 0; u < kUnits; ++u) {
      float& sum = to[(block * kUnits + u) >> group_shift_];
      for (int64_t i = 0; i < sums_of_unit; ++i) sum += sums[u * sums_of_unit + i];
    }
  }

  /// A number for each group of a slice of some features, with features `slice_groups_` apart, and
  /// finite ones up to whole vectors and blocks of x.
  void widen(const void* numbers, int64_t first, int64_t count, int64_t slice, float* to) {
    const auto dtype = scales_of_weight_->dtype;
    std::fill_n(to + count * slice_groups_, kScalesPadding, 0.0F);
    if (num_slices_ == 1) {
      widen_scales(dtype, numbers, first * row_groups_, count * row_groups_, to);
      fetch(numbers, (first + stretch_) * row_groups_, count * row_groups_);
      return;
    }
    const int64_t first_group = slice * kSliceBlocks * kUnits >> group_shift_;
    const int64_t num_groups = std::min(slice_groups_, row_groups_ - first_group);
    for (int64_t row = first; row < first + count; ++row, to += slice_groups_) {
      widen_scales(dtype, numbers, row * row_groups_ + first_group, num_groups, to);
      std::fill(to + num_groups, to + slice_groups_, 0.0F);
      fetch(numbers, (row + stretch_) * row_groups_ + first_group, num_groups);
    }
  }

  /// Scales or minimums that come next.
  void fetch(const void* numbers, int64_t first, int64_t count) const {
    const auto fetch_numbers = [&](const auto* from) HWY_ATTR {
      constexpr int64_t kOfLine = kCacheLine / sizeof(*from);
      for (int64_t i = 0; i < count; i += kOfLine) hwy::Prefetch(from + first + i);
    };
    with_type(scales_of_weight_->dtype, fetch_numbers, numbers);
  }

  /// Values of a slice, which may be read by whole blocks.
  StoredValues slice_values(int64_t first, int64_t count, int64_t slice) {
    const int64_t begin = slice * kSliceBlocks * Weights::kBytes;
    const StoredValues stored = {values_.first + first * values_.stride + begin, values_.stride};
    const int64_t size = values_.stride - begin;
    if (size >= slice_blocks(slice) * Weights::kBytes) return stored;
    for (int64_t i = 0; i < count; ++i) {
      const auto end =
          std::copy_n(stored.first + i * stored.stride, size, padded_values_ + i * kSlice);
      std::fill(end, padded_values_ + (i + 1) * kSlice, int8_t{0});
    }
    return {padded_values_, kSlice};
  }

  template <int kRows>
  void multiply_part(const StoredValues& values, int64_t count, int64_t slice, int64_t part) {
    constexpr int kFeatures = kTileFeatures<kRows>;
    const int64_t place = (part * num_blocks_ + slice * kSliceBlocks) * kRows;
    Tile<Weights, kFeatures> tile;
    tile.x = x_ + place * kRoundedBlock;
    tile.x_scales = x_scales_ + place * Weights::kXScales;
    tile.x_sums = x_sums(part, slice);
    tile.sums_stride = kSumsStride;
    tile.num_blocks = slice_blocks(slice);
    tile.num_groups = slice_groups_;
    tile.group_shift = group_shift_;
    tile.ahead = kFeaturesAhead<Weights> * values.stride;
    for (int64_t i = 0; i < count; i += kFeatures) {
      const int64_t num_features = std::min<int64_t>(count - i, kFeatures);
      for (int64_t f = 0; f < kFeatures; ++f) {
        // Past the last feature it is computed again.
        const int64_t feature = i + std::min(f, num_features - 1);
        tile.values[f] = values.first + feature * values.stride;
        tile.scales[f] = scales_ + feature * slice_groups_;
        tile.minimums[f] = has_minimums_ ? minimums_ + feature * slice_groups_ : nullptr;
      }
      float sums[kFeatures][kRows];
      multiply_tile<kRows>(tile, sums);
      float* to = sums_ + part * kRows * kMaxStretch + i;
      for (int64_t f = 0; f < num_features; ++f) {
        for (int64_t r = 0; r < kRows; ++r) {
          float& sum = to[r * kMaxStretch + f];
          sum = slice == 0 ? sums[f][r] : sum + sums[f][r];
        }
      }
    }
  }

  const RoundedProduct<X>& product_;
  const StoredValues values_;
  const GroupScales* scales_of_weight_;  // null: one for each row
  const bool has_minimums_;
  const int64_t num_parts_;  // of the rows, as even as they can be
  const int64_t part_rows_;  // of the largest part
  const int64_t stretch_;
  const int64_t num_blocks_;  // of a row of x
  const int64_t num_slices_;
  const int64_t row_groups_;
  const int group_shift_;  // of units to a group, as a power of two
  const int64_t slice_groups_;
  Scratch scratch_;
  X* x_;                   // [num_parts, num_blocks, part_rows, kRoundedBlock]
  float* x_scales_;        // [num_parts, num_blocks, part_rows, Weights::kXScales]
  float* x_sums_;          // [num_parts, num_slices, part_rows, kSumsStride]
  float* scales_;          // [kMaxStretch, kSumsStride]
  float* minimums_;        // likewise
  int8_t* padded_values_;  // [kMaxStretch, kSlice]
  float* sums_;            // [num_parts, part_rows, kMaxStretch]
};

template <typename Weights>
void multiply_features(const RoundedProduct<typename Weights::X>& product, int64_t first,
                       int64_t last) {
  Product<Weights>(product).multiply(first, last);
}

template <typename T>
void multiply_int4(const RoundedProduct<T>& product, int64_t group_size, int64_t first,
                   int64_t last) {
  group_size == kMinInt4Group ? multiply_features<Int4Weights<T, 32>>(product, first, last)
                              : multiply_features<Int4Weights<T, 64>>(product, first, last);
}

/// @param group_size  0 for one scale for each row
template <typename T>
void multiply_int8(const RoundedProduct<T>& product, int64_t group_size, int64_t first,
                   int64_t last) {
  if (group_size == 0) {
    multiply_features<Int8Weights<T, 0>>(product, first, last);
  } else if (group_size == 32) {
    multiply_features<Int8Weights<T, 32>>(product, first, last);
  } else {
    multiply_features<Int8Weights<T, 64>>(product, first, last);
  }
}

template <typename T>
void multiply_few(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const auto* groups = group_scales(product.weight);
  const int64_t group_size = groups == nullptr ? 0 : groups->group_size;
  if (std::holds_alternative<Int4Rows>(product.weight)) {
    return multiply_int4(product, group_size, first, last);
  }
  if constexpr (sizeof(T) == 2) {
    if (group_size == 16) {
      return multiply_features<Int8Weights<T, 16>>(product, first, last);
    }
  }
  multiply_int8(product, group_size, first, last);
}

void multiply_few_int16(const RoundedProduct<int16_t>& product, int64_t first, int64_t last) {
  multiply_few(product, first, last);
}

void multiply_few_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  const auto* groups = group_scales(product.weight);
  if (const auto* int4 = std::get_if<Int4Rows>(&product.weight)) {
    return multiply_block_rows<Int4Blocks>(product, int4->values, groups, first, last);
  }
#endif
#if PREPACK_HAS_VNNI
  const auto* values = values_of(product.weight, product.in_features).first;
  multiply_block_rows<Int8Blocks>(product, values, groups, first, last);
#else
  multiply_few(product, first, last);
#endif
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_int16);
HWY_EXPORT(multiply_few_int8);

void multiply_few_rounded_rows(const RoundedProduct<int16_t>& product, int64_t first,
                               int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_int16)(product, first, last);
}

void multiply_few_rounded_rows(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_int8)(product, first, last);
}

}  // namespace prepack
#endif
