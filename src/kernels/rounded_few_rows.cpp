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
#include "kernels/pairs-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// Never more lanes than 16 numbers fill, which share a scale in every format.
using Lanes = hn::CappedTag<float, 8>;
using Vec = hn::Vec<Lanes>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());
constexpr int kNumbers = kPairNumbers<Lanes>;  // of a vector

constexpr int64_t kGroup = RoundedRows::kGroup;
constexpr int kVectors = kGroup / kNumbers;  // of a group
static_assert(kGroup == kInt4Block);

// Rows whose x stays in a usual cache of 32 KB for as much of k as is done for a stretch of
// features before the rest; and the features of a stretch, whose scales stay there too.
constexpr int kMaxRows = 4;
constexpr int64_t kBlock = 2048;
constexpr int64_t kStretch = 32;
constexpr int64_t kFeaturesAhead = 4;  // are fetched from memory

/// So many features at a time that their sums stay in registers.
template <int kRows>
constexpr int kTileFeatures = kRows <= 2 ? 4 : 2;

/// Weights of 8 bits.
struct Int8Values {
  static constexpr int64_t kBytesOfGroup = kGroup;

  static HWY_INLINE void widen(const int8_t* values, PairsOf<Lanes> (&wide)[kVectors]) {
    unrolled<kVectors>([&]<int v>()
                           HWY_ATTR { wide[v] = load_pairs(Lanes(), values + v * kNumbers); });
  }
};

/// Weights of 4 bits, a block of which is a group of x.
struct Int4Values {
  static constexpr int64_t kBytesOfGroup = kGroup / 2;

  static HWY_INLINE void widen(const int8_t* values, PairsOf<Lanes> (&wide)[kVectors]) {
    const auto* words = reinterpret_cast<const uint16_t*>(values);
    constexpr int kVectorsOfWords = kInt4Words / kNumbers;
    unrolled<kVectorsOfWords>([&]<int h>() HWY_ATTR {
      const auto packed = load_words(Lanes(), words + h * kNumbers);
      unrolled<4>([&]<int kPlace>() HWY_ATTR {
        wide[kPlace * kVectorsOfWords + h] = values_of_words<kPlace>(Lanes(), packed);
      });
    });
  }
};

/// A block of k of a few features and rows. A unit is RoundedRows::sum_group numbers.
template <int kFeatures>
struct Tile {
  const int8_t* values[kFeatures];
  const float* scales[kFeatures];    // [units]; of weights with a scale for each row unused
  const float* minimums[kFeatures];  // [units], up to whole vectors; null for none
  const int16_t* x;                  // [num_groups, rows, kGroup]
  const float* x_scales;             // [num_groups, rows]
  const float* x_sums;               // [rows, units] and zeros, with rows `sums_stride` apart
  int64_t sums_stride;               // whole vectors
  int64_t num_groups;
  int64_t ahead;  // bytes from a feature to one that comes later
};

/// The products of a group's values with one row, in lanes.
/// @param scales  one for each unit; null: they are applied later
template <int kUnit>
HWY_INLINE Vec multiply_group(const PairsOf<Lanes> (&values)[kVectors], const int16_t* x,
                              const float* scales) {
  constexpr int kUnitVectors = kUnit == 0 ? kVectors : kUnit / kNumbers;
  const Lanes d;
  Vec product;
  unrolled<kVectors / kUnitVectors>([&]<int u>() HWY_ATTR {
    PairSums<Lanes> sums;
    sums.clear();
    unrolled<kUnitVectors>([&]<int i>() HWY_ATTR {
      constexpr int v = u * kUnitVectors + i;
      sums.add_products(values[v], load_pairs(d, x + v * kNumbers));
    });
    if constexpr (kUnit == 0) {
      product = sums.total();
    } else if constexpr (u == 0) {
      product = hn::Mul(sums.total(), hn::Set(d, scales[0]));
    } else {
      product = hn::MulAdd(sums.total(), hn::Set(d, scales[u]), product);
    }
  });
  return product;
}

/// to[f][r] = the product of feature f with row r over the block.
/// @tparam kUnit  numbers that share a scale; 0: a feature's all do, and it is applied later
template <typename Values, int kUnit, int kFeatures, int kRows>
HWY_INLINE void multiply_tile(const Tile<kFeatures>& tile, float (*to)[kRows]) {
  const Lanes d;
  constexpr int kUnits = kUnit == 0 ? 0 : kGroup / kUnit;
  Vec sums[kFeatures][kRows];
  unrolled<kFeatures>([&]<int f>() HWY_ATTR {
    unrolled<kRows>([&]<int r>() HWY_ATTR { sums[f][r] = hn::Zero(d); });
  });
  if (tile.minimums[0] != nullptr) {
    for (int64_t u = 0; u < tile.num_groups * kUnits; u += kLanes) {
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        const auto minimums = hn::LoadU(d, tile.minimums[f] + u);
        unrolled<kRows>([&]<int r>() HWY_ATTR {
          sums[f][r] = hn::MulAdd(minimums, hn::LoadU(d, tile.x_sums + r * tile.sums_stride + u),
                                  sums[f][r]);
        });
      });
    }
  }
  const int16_t* HWY_RESTRICT x = tile.x;
  const float* HWY_RESTRICT x_scales = tile.x_scales;
  for (int64_t g = 0; g < tile.num_groups; ++g, x += kRows * kGroup, x_scales += kRows) {
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      const int8_t* values = tile.values[f] + g * Values::kBytesOfGroup;
      hwy::Prefetch(values + tile.ahead);
      PairsOf<Lanes> wide[kVectors];
      Values::widen(values, wide);
      const float* scales = tile.scales[f] + g * kUnits;
      unrolled<kRows>([&]<int r>() HWY_ATTR {
        sums[f][r] = hn::MulAdd(multiply_group<kUnit>(wide, x + r * kGroup, scales),
                                hn::Set(d, x_scales[r]), sums[f][r]);
      });
    });
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
template <typename Values, int kUnit>
class Product {
 public:
  explicit Product(const RoundedProduct& product)
      : product_(product),
        values_(values_of(product.weight, product.in_features)),
        scales_of_weight_(group_scales(product.weight)),
        has_minimums_(scales_of_weight_ != nullptr && scales_of_weight_->minimums != nullptr),
        num_parts_((product.num_rows + kMaxRows - 1) / kMaxRows),
        part_rows_((product.num_rows + num_parts_ - 1) / num_parts_),
        num_groups_(RoundedRows::num_groups(product.in_features)),
        num_blocks_((num_groups_ + kBlockGroups - 1) / kBlockGroups),
        scales_stride_(has_scales_of_rows() ? product.in_features / std::max(kUnit, 1)
                                            : kSumsStride),
        scratch_(num_parts_ * (x_size() / 2 + num_groups_ * part_rows_ +
                               num_blocks_ * part_rows_ * kSumsStride) +
                     2 * kScalesSize + kStretch * kBlock / 4,
                 6),
        x_(reinterpret_cast<int16_t*>(scratch_.take(num_parts_ * x_size() / 2))),
        x_scales_(scratch_.take(num_parts_ * num_groups_ * part_rows_)),
        x_sums_(scratch_.take(num_parts_ * num_blocks_ * part_rows_ * kSumsStride)),
        scales_(scratch_.take(kScalesSize)),
        minimums_(scratch_.take(kScalesSize)),
        padded_values_(reinterpret_cast<int8_t*>(scratch_.take(kStretch * kBlock / 4))) {
    order_x();
  }

  void multiply(int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += kStretch) {
      const int64_t count = std::min(kStretch, last - n);
      for (int64_t block = 0; block < num_blocks_; ++block) {
        if constexpr (kUnit != 0) {
          spread(scales_of_weight_->scales, n, count, block, scales_);
          if (has_minimums_) spread(scales_of_weight_->minimums, n, count, block, minimums_);
        }
        const auto values = block_values(n, count, block);
        for (int64_t part = 0; part < num_parts_; ++part) {
          unrolled<kMaxRows>([&]<int r>() HWY_ATTR {
            if (part_rows_ == r + 1) multiply_part<r + 1>(values, n, count, block, part);
          });
        }
      }
    }
  }

 private:
  static constexpr int64_t kBlockGroups = kBlock / kGroup;
  static constexpr int64_t kUnits = kUnit == 0 ? 1 : kGroup / kUnit;  // of a group
  static constexpr int64_t kSumsStride =
      (kBlockGroups * kUnits + kLanes - 1) / kLanes * kLanes;  // of a block's units

  static constexpr int64_t kScalesPadding = kLanes + kUnits;
  static constexpr int64_t kScalesSize = kStretch * kSumsStride + kScalesPadding;

  /// Whether the scales of whole rows are those of one block's units, one behind the other.
  bool has_scales_of_rows() const {
    return scales_of_weight_ != nullptr && scales_of_weight_->group_size == kUnit &&
           num_blocks_ == 1;
  }

  int64_t x_size() const { return num_groups_ * kGroup * part_rows_; }
  int64_t block_groups(int64_t block) const {
    return std::min(kBlockGroups, num_groups_ - block * kBlockGroups);
  }
  float* x_sums(int64_t part, int64_t block) const {
    return x_sums_ + (part * num_blocks_ + block) * part_rows_ * kSumsStride;
  }

  /// x, its scales and its sums, part by part. What is not there is zero.
  void order_x() {
    if (has_minimums_) {
      std::fill_n(x_sums_, num_parts_ * num_blocks_ * part_rows_ * kSumsStride, 0.0F);
    }
    for (int64_t i = 0; i < num_parts_ * part_rows_; ++i) {
      const int64_t part = i / part_rows_;
      const int64_t r = i % part_rows_;
      for (int64_t g = 0; g < num_groups_; ++g) {
        int16_t* to = x_ + part * x_size() + (g * part_rows_ + r) * kGroup;
        float& scale = x_scales_[(part * num_groups_ + g) * part_rows_ + r];
        if (i >= product_.num_rows) {
          std::fill_n(to, kGroup, int16_t{0});
          scale = 0;
          continue;
        }
        const int64_t from = i * num_groups_ + g;
        std::copy_n(product_.x.values + from * kGroup, kGroup, to);
        scale = product_.x.scales[from];
        if (!has_minimums_) continue;
        std::copy_n(product_.x.sums + from * kUnits, kUnits,
                    x_sums(part, g / kBlockGroups) + r * kSumsStride + g % kBlockGroups * kUnits);
      }
    }
  }

  /// A number for each unit of a block of some features, with features `scales_stride_` apart, and
  /// finite ones up to whole vectors and groups of x.
  void spread(const void* numbers, int64_t first, int64_t count, int64_t block, float* to) {
    const int shift = group_shift(scales_of_weight_->group_size, kUnit);
    const int64_t row_groups = product_.in_features / scales_of_weight_->group_size;
    if (has_scales_of_rows()) {
      widen_scales(scales_of_weight_->dtype, numbers, first * row_groups, count * row_groups, to);
      std::fill_n(to + count * row_groups, kScalesPadding, 0.0F);
      return;
    }
    const int64_t begin = block * kBlockGroups * kUnits;
    const int64_t size = std::min(kBlockGroups * kUnits, (row_groups << shift) - begin);
    const int64_t first_group = begin >> shift;
    const int64_t num_groups = ((begin + size - 1) >> shift) + 1 - first_group;
    for (int64_t row = first; row < first + count; ++row, to += scales_stride_) {
      widen_scales(scales_of_weight_->dtype, numbers, row * row_groups + first_group, num_groups,
                   to);
      // From the last on, to overwrite none that is still to be read.
      for (int64_t u = shift > 0 ? size - 1 : -1; u >= 0; --u) {
        to[u] = to[((begin + u) >> shift) - first_group];
      }
      std::fill(to + size, to + kSumsStride, 0.0F);
    }
  }

  /// Values of a block, which may be read by whole groups.
  StoredValues block_values(int64_t first, int64_t count, int64_t block) {
    const StoredValues stored = {
        values_.first + first * values_.stride + block * kBlockGroups * Values::kBytesOfGroup,
        values_.stride};
    const int64_t size = values_.stride - block * kBlockGroups * Values::kBytesOfGroup;
    if (size >= block_groups(block) * Values::kBytesOfGroup) return stored;
    for (int64_t i = 0; i < count; ++i) {
      const auto end =
          std::copy_n(stored.first + i * stored.stride, size, padded_values_ + i * kBlock);
      std::fill(end, padded_values_ + (i + 1) * kBlock, int8_t{0});
    }
    return {padded_values_, kBlock};
  }

  template <int kRows>
  void multiply_part(const StoredValues& values, int64_t first, int64_t count, int64_t block,
                     int64_t part) {
    constexpr int kFeatures = kTileFeatures<kRows>;
    const int64_t group = block * kBlockGroups;
    Tile<kFeatures> tile;
    tile.x = x_ + part * x_size() + group * kRows * kGroup;
    tile.x_scales = x_scales_ + (part * num_groups_ + group) * kRows;
    tile.x_sums = x_sums(part, block);
    tile.sums_stride = kSumsStride;
    tile.num_groups = block_groups(block);
    tile.ahead = kFeaturesAhead * values.stride;
    for (int64_t i = 0; i < count; i += kFeatures) {
      const int64_t num_features = std::min<int64_t>(count - i, kFeatures);
      for (int64_t f = 0; f < kFeatures; ++f) {
        // Past the last feature it is computed again.
        const int64_t feature = i + std::min(f, num_features - 1);
        tile.values[f] = values.first + feature * values.stride;
        tile.scales[f] = scales_ + feature * scales_stride_;
        tile.minimums[f] = has_minimums_ ? minimums_ + feature * scales_stride_ : nullptr;
      }
      float sums[kFeatures][kRows];
      multiply_tile<Values, kUnit, kFeatures, kRows>(tile, sums);
      const int64_t num_rows = std::min<int64_t>(kRows, product_.num_rows - part * kRows);
      for (int64_t f = 0; f < num_features; ++f) {
        store(sums[f], num_rows, part * kRows, first + i + f, block);
      }
    }
  }

  void store(const float* sums, int64_t num_rows, int64_t row, int64_t feature, int64_t block) {
    const float scale = kUnit == 0 ? std::get<Int8Rows>(product_.weight).scales[feature] : 1.0F;
    const float bias = product_.bias != nullptr && block == 0 ? product_.bias[feature] : 0.0F;
    const bool adds = product_.adds_to_out || block > 0;
    float* out = product_.out + row * product_.out_stride + feature;
    for (int64_t r = 0; r < num_rows; ++r, out += product_.out_stride) {
      *out = sums[r] * scale + (adds ? bias + *out : bias);
    }
  }

  const RoundedProduct& product_;
  const StoredValues values_;
  const GroupScales* scales_of_weight_;  // null: one for each row
  const bool has_minimums_;
  const int64_t num_parts_;   // of the rows, as even as they can be
  const int64_t part_rows_;   // of the largest part
  const int64_t num_groups_;  // of a row of x
  const int64_t num_blocks_;
  const int64_t scales_stride_;
  Scratch scratch_;
  int16_t* x_;             // [num_parts, num_groups, part_rows, kGroup]
  float* x_scales_;        // [num_parts, num_groups, part_rows]
  float* x_sums_;          // [num_parts, num_blocks, part_rows, kSumsStride]
  float* scales_;          // [kStretch, kSumsStride]
  float* minimums_;        // likewise
  int8_t* padded_values_;  // [kStretch, kBlock]
};

void multiply_few_rounded_rows(const RoundedProduct& product, int64_t first, int64_t last) {
  const bool is_int4 = std::holds_alternative<Int4Rows>(product.weight);
  if (group_scales(product.weight) == nullptr) {
    Product<Int8Values, 0>(product).multiply(first, last);
  } else if (product.x.sum_group == 64) {
    is_int4 ? Product<Int4Values, 64>(product).multiply(first, last)
            : Product<Int8Values, 64>(product).multiply(first, last);
  } else if (product.x.sum_group == 32) {
    is_int4 ? Product<Int4Values, 32>(product).multiply(first, last)
            : Product<Int8Values, 32>(product).multiply(first, last);
  } else {
    Product<Int8Values, 16>(product).multiply(first, last);
  }
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_rounded_rows);

void multiply_few_rounded_rows(const RoundedProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_rounded_rows)(product, first, last);
}

}  // namespace prepack
#endif
