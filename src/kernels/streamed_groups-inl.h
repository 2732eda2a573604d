// Products of few rows with weights in groups, which are widened in 32 registers of 512 bits.
// Included once for each instruction set.
#if defined(PREPACK_KERNELS_STREAMED_GROUPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_STREAMED_GROUPS_INL_H_
#undef PREPACK_KERNELS_STREAMED_GROUPS_INL_H_
#else
#define PREPACK_KERNELS_STREAMED_GROUPS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/few_rows-inl.h"
#include "kernels/groups-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/scratch.h"
#include "kernels/streamed_rows-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3

// The sums of a tile stay in registers with what its weights need.
constexpr int kGroupTileFeatures = 4;
constexpr int64_t kGroupNumbers = 8192;  // of x, in a first cache of 48 KB
constexpr int64_t kGroupBytesAhead = 4096;
constexpr int64_t kInt8Block = 64;

/// One row of a tile: its values from k on, their scales and minimums.
template <typename Value>
struct GroupRow {
  const Value* values;
  const float* scales;
  const float* minimums;
};

/// Blocks of 64 values of four bits. A vector holds those of one place of 16 words, which belong to
/// the two smallest groups of a block.
/// @tparam kIsOneGroup  whether both are of the same group
template <bool kIsOneGroup>
struct StreamedInt4 {
  using Value = uint8_t;
  static constexpr int64_t kMinGroup = kMinInt4Group;
  static constexpr int64_t kBlockBytes = kInt4Block / 2;
  static constexpr int kMaxRows = 5;                     // of a tile
  static constexpr int kTogether = kIsOneGroup ? 2 : 1;  // features whose blocks fit in registers
  static constexpr int64_t kManyRows = 32;  // from which weights are better widened once for all

  static const Value* values(const Int4Rows& rows) { return rows.values; }
  static int64_t row_bytes(int64_t in_features) { return int4_row_bytes(in_features); }

  /// What a vector of weights is multiplied with.
  /// @param size  numbers that there are
  static HWY_INLINE FloatVec load_x(const float* x, int64_t place, int64_t size) {
    const hn::Half<Floats> half;
    const int64_t first = place * kInt4Words;
    const int64_t second = kMinInt4Group + first;
    const auto upper = second < size ? hn::LoadU(half, x + second) : hn::Zero(half);
    return hn::Combine(Floats(), upper, hn::LoadU(half, x + first));
  }

  /// One row's.
  struct Block {
    hn::Vec<hn::RebindToUnsigned<Floats>> words;
    FloatVec numbers;  // that the values mean; but before they are scaled, if of two groups
    FloatVec scales;
    FloatVec minimums;

    template <int kPlace>
    HWY_INLINE FloatVec widen() const {
      // The instruction looks at the lowest four bits alone.
      const hn::Indices512<float> lowest{hn::ShiftRight<4 * kPlace>(words).raw};
      const auto number = hn::TableLookupLanes(numbers, lowest);
      return kIsOneGroup ? number : hn::MulAdd(number, scales, minimums);
    }
  };

  static HWY_INLINE Block load(const GroupRow<Value>& row, int64_t block, int shift) {
    const Floats d;
    const hn::Rebind<uint16_t, Floats> halves;
    const auto* words = reinterpret_cast<const uint16_t*>(row.values + block * kBlockBytes);
    const int64_t a = 2 * block >> shift;
    const int64_t b = (2 * block + 1) >> shift;
    const auto values = hn::ConvertTo(d, hn::Iota(hn::RebindToSigned<Floats>(), 0));
    Block to;
    to.words = hn::PromoteTo(hn::RebindToUnsigned<Floats>(), hn::LoadU(halves, words));
    to.scales = hn::Set(d, row.scales[a]);
    to.minimums = hn::Set(d, row.minimums[a]);
    if constexpr (kIsOneGroup) {
      to.numbers = hn::MulAdd(values, to.scales, to.minimums);
    } else {
      const auto is_first = hn::FirstN(d, kInt4Words);
      to.numbers = values;
      to.scales = hn::IfThenElse(is_first, to.scales, hn::Set(d, row.scales[b]));
      to.minimums = hn::IfThenElse(is_first, to.minimums, hn::Set(d, row.minimums[b]));
    }
    return to;
  }
};

/// Blocks of 64 values of eight bits.
/// @tparam kIsOneGroup  whether a block's are of the same group
template <bool kIsOneGroup>
struct StreamedInt8 {
  using Value = int8_t;
  static constexpr int64_t kMinGroup = kMinInt8Group;
  static constexpr int64_t kBlockBytes = kInt8Block;
  static constexpr int kMaxRows = 6;
  static constexpr int kTogether = 4;
  static constexpr int64_t kManyRows = 48;

  static const Value* values(const Int8GroupRows& rows) { return rows.values; }
  static int64_t row_bytes(int64_t in_features) { return in_features; }

  static HWY_INLINE FloatVec load_x(const float* x, int64_t place, int64_t size) {
    const int64_t first = place * kMinInt8Group;
    return first < size ? load_floats(x + first) : hn::Zero(Floats());
  }

  struct Block {
    const Value* values;
    const float* scales;
    const float* minimums;
    int64_t first;  // smallest group
    int shift;

    template <int kPlace>
    HWY_INLINE FloatVec widen() const {
      const Floats d;
      const int64_t group = (kIsOneGroup ? first : first + kPlace) >> shift;
      return hn::MulAdd(load_floats(values + kPlace * kMinInt8Group), hn::Set(d, scales[group]),
                        hn::Set(d, minimums[group]));
    }
  };

  static HWY_INLINE Block load(const GroupRow<Value>& row, int64_t block, int shift) {
    return {row.values + block * kBlockBytes, row.scales, row.minimums, 4 * block, shift};
  }
};

/// What one tile reads along k.
template <typename Value>
struct GroupTile {
  GroupRow<Value> rows[kGroupTileFeatures];
  const float* x;  // [blocks, 4, rows] vectors
  int64_t size;
  int64_t ahead;  // bytes from what is read to what is fetched
  int shift;      // of the smallest groups to one, as a power of two
};

/// sums[r][f] = the product of feature f with row r.
template <int kRows, typename Layout>
HWY_INLINE void multiply_group_tile(const GroupTile<typename Layout::Value>& tile,
                                    float (*sums)[kGroupTileFeatures]) {
  constexpr int kFeatures = kGroupTileFeatures;
  constexpr int kTogether = Layout::kTogether;
  constexpr int64_t kLanes = hn::MaxLanes(Floats());
  static_assert(kLanes == kMinInt8Group && kLanes == 2 * kInt4Words);
  GroupRow<typename Layout::Value> rows[kFeatures];
  FloatVec s[kFeatures][kRows];
  inlined<kFeatures>([&]<int f>() PREPACK_INLINED {
    rows[f] = tile.rows[f];
    inlined<kRows>([&]<int r>() PREPACK_INLINED { s[f][r] = hn::Zero(Floats()); });
  });
  const float* x = tile.x;
  int64_t size = tile.size;
  for (int64_t block = 0; size > 0; ++block, size -= 64, x += 4 * kRows * kLanes) {
    inlined<kFeatures / kTogether>([&]<int g>() PREPACK_INLINED {
      typename Layout::Block blocks[kTogether];
      inlined<kTogether>([&]<int i>() PREPACK_INLINED {
        const auto& row = rows[g * kTogether + i];
        hwy::Prefetch(row.values + block * Layout::kBlockBytes + tile.ahead);
        blocks[i] = Layout::load(row, block, tile.shift);
      });
      inlined<4>([&]<int p>() PREPACK_INLINED {
        // Behind the end there are no bytes, but always whole blocks of four bits.
        if (Layout::kBlockBytes == 64 && p * kLanes >= size) return;
        FloatVec wide[kTogether];
        inlined<kTogether>([&]<int i>()
                               PREPACK_INLINED { wide[i] = blocks[i].template widen<p>(); });
        inlined<kRows>([&]<int r>() PREPACK_INLINED {
          const auto row = load_floats(x + (p * kRows + r) * kLanes);
          inlined<kTogether>([&]<int i>() PREPACK_INLINED {
            auto& sum = s[g * kTogether + i][r];
            sum = hn::MulAdd(wide[i], row, sum);
          });
        });
      });
    });
  }
  inlined<kRows>([&]<int r>() PREPACK_INLINED {
    store_lane_sums({s[0][r], s[1][r], s[2][r], s[3][r]}, sums[r]);
  });
}

/// One block of k of the products of all features with rows [row, row + kRows).
/// @param k  where a group begins, if the block does not end with the row
template <int kRows, typename Layout, typename Rows>
HWY_NOINLINE void multiply_streamed_part(const FewRowsProduct& product, const Rows& weight,
                                         int64_t first, int64_t last, int64_t k, int64_t size,
                                         int64_t row) {
  constexpr int64_t kLanes = hn::MaxLanes(Floats());
  const auto& groups = weight.groups;
  const int64_t in_features = product.in_features;
  const int64_t num_groups = in_features / groups.group_size;
  const int64_t row_bytes = Layout::row_bytes(in_features);
  const int64_t block_groups = (size + groups.group_size - 1) / groups.group_size;
  // Scales of so many features are widened at a time that there is little to it.
  constexpr int64_t kScales = 512;
  const int64_t stretch =
      std::max<int64_t>(kScales / block_groups / kGroupTileFeatures, 1) * kGroupTileFeatures;
  const int64_t x_size = kRows * (size + kBlockAlignment);
  const int64_t scales_size = stretch * block_groups + kGroupsPadding;
  Scratch scratch(x_size + 2 * scales_size, 3);
  float* x = scratch.take(x_size);
  float* scales = scratch.take(scales_size);
  float* minimums = scratch.take(scales_size);
  float* to = x;
  for (int64_t i = 0; i < size; i += 64) {
    for (int64_t place = 0; place < 4; ++place) {
      for (int64_t r = 0; r < kRows; ++r, to += kLanes) {
        store_floats(Layout::load_x(product.x + (row + r) * in_features + k + i, place, size - i),
                     to);
      }
    }
  }
  const auto widen_stretch = [&](const void* from, int64_t n, float* wide) HWY_ATTR {
    const int64_t end = std::min(n + stretch, last);
    const int64_t first_group = k / groups.group_size;
    if (block_groups == num_groups) {
      widen_scales(groups.dtype, from, n * num_groups, (end - n) * num_groups, wide);
      wide += (end - n) * num_groups;
    } else {
      for (int64_t i = n; i < end; ++i, wide += block_groups) {
        widen_scales(groups.dtype, from, i * num_groups + first_group, block_groups, wide);
      }
    }
    std::fill_n(wide, kGroupsPadding, 0.0F);
  };
  GroupTile<typename Layout::Value> tile;
  tile.x = x;
  tile.size = size;
  tile.shift = group_shift(groups.group_size, Layout::kMinGroup);
  const int64_t tile_bytes = kGroupTileFeatures * row_bytes;
  tile.ahead = (kGroupBytesAhead + tile_bytes - 1) / tile_bytes * tile_bytes;
  const auto* values = Layout::values(weight) + k * Layout::kBlockBytes / 64;
  for (int64_t n = first; n < last; n += kGroupTileFeatures) {
    const int64_t place = (n - first) % stretch;
    if (place == 0) {
      widen_stretch(groups.scales, n, scales);
      widen_stretch(groups.minimums, n, minimums);
    }
    const int64_t count = std::min<int64_t>(last - n, kGroupTileFeatures);
    for (int64_t f = 0; f < kGroupTileFeatures; ++f) {
      // Past the last feature it is computed again.
      const int64_t i = std::min(f, count - 1);
      tile.rows[f] = {values + (n + i) * row_bytes, scales + (place + i) * block_groups,
                      minimums + (place + i) * block_groups};
    }
    HWY_ALIGN float sums[kRows][kGroupTileFeatures];
    multiply_group_tile<kRows, Layout>(tile, sums);
    for (int64_t r = 0; r < kRows; ++r) {
      store_sums(product, sums[r], row + r, n, count, /*adds_bias=*/k == 0,
                 product.adds_to_out || k > 0);
    }
  }
}

template <typename Layout, typename Rows>
void multiply_streamed_groups(const FewRowsProduct& product, const Rows& weight, int64_t first,
                              int64_t last) {
  if (product.num_rows >= Layout::kManyRows)
    return multiply_streamed_wide(product, weight, first, last);
  constexpr int64_t kMaxRows = Layout::kMaxRows;
  const int64_t num_parts = (product.num_rows + kMaxRows - 1) / kMaxRows;
  // Blocks begin with groups.
  const int64_t unit = std::max(weight.groups.group_size, kBlockAlignment);
  const int64_t most_rows = (product.num_rows + num_parts - 1) / num_parts;
  const int64_t max_block = std::max(kGroupNumbers / most_rows, unit);
  const int64_t num_blocks = (product.in_features + max_block - 1) / max_block;
  const int64_t block = (product.in_features / num_blocks + unit - 1) / unit * unit;
  for (int64_t k = 0; k < product.in_features; k += block) {
    const int64_t size = std::min(block, product.in_features - k);
    int64_t row = 0;
    for (int64_t part = 0; part < num_parts; ++part) {
      const int64_t num_rows = (product.num_rows - row) / (num_parts - part);
      unrolled<static_cast<int>(kMaxRows)>([&]<int r>() HWY_ATTR {
        if (num_rows == r + 1) {
          multiply_streamed_part<r + 1, Layout>(product, weight, first, last, k, size, row);
        }
      });
      row += num_rows;
    }
  }
}

HWY_INLINE void multiply_streamed_groups(const FewRowsProduct& product, const Int4Rows& weight,
                                         int64_t first, int64_t last) {
  if (weight.groups.group_size >= kInt4Block) {
    return multiply_streamed_groups<StreamedInt4<true>>(product, weight, first, last);
  }
  return multiply_streamed_groups<StreamedInt4<false>>(product, weight, first, last);
}

HWY_INLINE void multiply_streamed_groups(const FewRowsProduct& product, const Int8GroupRows& weight,
                                         int64_t first, int64_t last) {
  if (weight.groups.group_size >= kInt8Block) {
    return multiply_streamed_groups<StreamedInt8<true>>(product, weight, first, last);
  }
  return multiply_streamed_groups<StreamedInt8<false>>(product, weight, first, last);
}

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
