// Products of few rows with weights in groups, for the 16 registers of AVX2 and the like. Included
// once for each instruction set.
#if defined(PREPACK_KERNELS_TILED_GROUPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_TILED_GROUPS_INL_H_
#undef PREPACK_KERNELS_TILED_GROUPS_INL_H_
#else
#define PREPACK_KERNELS_TILED_GROUPS_INL_H_
#endif

#include <algorithm>

#include "kernels/few_rows-inl.h"
#include "kernels/group_rows-inl.h"
#include "kernels/groups-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/scratch.h"
#include "kernels/tiled_rows-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

#if HWY_TARGET > HWY_AVX3

/// How the values of a format in groups lie in memory, and how its tiles read x.
struct Int4Layout {
  using D = Int4Floats;
  using Value = uint16_t;
  static constexpr int64_t kValues = 4;  // of four bits in one
  static constexpr int64_t kMinGroup = kMinInt4Group;

  static const Value* values(const Int4Rows& rows) {
    return reinterpret_cast<const Value*>(rows.values);
  }
  /// Values of a row.
  static int64_t stride(int64_t in_features) {
    return int4_row_bytes(in_features) / static_cast<int64_t>(sizeof(Value));
  }
  static int64_t scratch_size(int64_t in_features) { return 2 * int4_row_bytes(in_features); }
  static const float* prepare(const float* x, int64_t in_features, float* scratch) {
    divide_by_places(x, in_features, scratch);
    return scratch;
  }
};

struct Int8Layout {
  using D = GroupFloats;
  using Value = int8_t;
  static constexpr int64_t kValues = 1;
  static constexpr int64_t kMinGroup = kMinInt8Group;

  static const Value* values(const Int8GroupRows& rows) { return rows.values; }
  static int64_t stride(int64_t in_features) { return in_features; }
  static int64_t scratch_size(int64_t /*in_features*/) { return 0; }
  static const float* prepare(const float* x, int64_t /*in_features*/, float* /*scratch*/) {
    return x;
  }
};

template <typename Layout, typename Rows>
void multiply_groups_by_one_row(const FewRowsProduct& product, const Rows& weight, int64_t first,
                                int64_t last) {
  const int64_t in_features = product.in_features;
  const auto& groups = weight.groups;
  const int64_t num_groups = in_features / groups.group_size;
  // Scales of so many features are widened at a time that there is little to it.
  constexpr int64_t kScales = 2048;
  const int64_t stretch =
      std::max<int64_t>(kScales / num_groups / kTileFeatures, 1) * kTileFeatures;
  const int64_t scales_size = stretch * num_groups + kGroupsPadding;
  const int64_t x_size = Layout::scratch_size(in_features);
  const int64_t sums_size = num_groups + kGroupsPadding;
  Scratch scratch(x_size + sums_size + 2 * scales_size, 4);
  float* x = scratch.take(x_size);
  float* sums = scratch.take(sums_size);
  float* scales = scratch.take(scales_size);
  float* minimums = scratch.take(scales_size);
  const bool has_minimums = groups.minimums != nullptr;
  if (has_minimums) {
    sum_groups(product.x, in_features, groups.group_size, sums);
    std::fill_n(sums + num_groups, kGroupsPadding, 0.0F);
  }
  const GroupsInput input{Layout::prepare(product.x, in_features, x),
                          has_minimums ? sums : nullptr};
  const int64_t stride = Layout::stride(in_features);
  GroupsTile<typename Layout::Value> tile;
  tile.in_features = in_features;
  tile.num_groups = num_groups;
  tile.group_shift = group_shift(groups.group_size, Layout::kMinGroup);
  tile.next_values = kTileFeatures * stride;
  const auto widen_stretch = [&](const void* from, int64_t n, float* to) HWY_ATTR {
    const int64_t count = std::min(stretch, last - n) * num_groups;
    widen_scales(groups.dtype, from, n * num_groups, count, to);
    std::fill_n(to + count, kGroupsPadding, 0.0F);
  };
  for (int64_t n = first; n < last; n += kTileFeatures) {
    const int64_t place = (n - first) % stretch;
    if (place == 0) {
      widen_stretch(groups.scales, n, scales);
      if (has_minimums) widen_stretch(groups.minimums, n, minimums);
    }
    const int64_t count = std::min(last - n, kTileFeatures);
    for (int64_t i = 0; i < kTileFeatures; ++i) {
      // Past the last feature it is computed again.
      const int64_t feature = std::min(i, count - 1);
      tile.values[i] = Layout::values(weight) + (n + feature) * stride;
      tile.scales[i] = scales + (place + feature) * num_groups;
      tile.minimums[i] = minimums + (place + feature) * num_groups;
    }
    float tile_sums[kTileFeatures];
    multiply_groups_tile(tile, input, tile_sums);
    store_sums(product, tile_sums, 0, n, count, /*adds_bias=*/true, product.adds_to_out);
  }
}

/// Weights of one feature or two are widened in registers, for so many rows at a time. Their x
/// stays in a usual cache of 32 KB for as much of k as is done for all features before the rest; so
/// that weights are read again for other rows, which takes less than multiplying with them.
constexpr int kMaxGroupRows = 8;
constexpr int64_t kGroupBlock = 768;
constexpr int64_t kFeaturesAhead = 8;  // are fetched from memory
template <int kRows>
constexpr int kGroupFeatures = kRows <= 3 ? 2 : 1;

/// One block of k of the products of all features with rows [row, row + kRows), or as many as there
/// are.
template <typename Layout, int kRows, typename Rows>
void multiply_group_block(const FewRowsProduct& product, const Rows& weight, int64_t first,
                          int64_t last, int64_t k, int64_t size, int64_t row) {
  constexpr int kFeatures = kGroupFeatures<kRows>;
  const auto& groups = weight.groups;
  const int64_t in_features = product.in_features;
  const int64_t num_groups = in_features / groups.group_size;
  const int64_t stride = Layout::stride(in_features);
  const int64_t num_rows = std::min<int64_t>(kRows, product.num_rows - row);
  const int64_t first_group = k / groups.group_size;
  const int64_t block_groups = (k + size - 1) / groups.group_size + 1 - first_group;
  // Scales of so many features are widened at a time that there is little to it.
  constexpr int64_t kScales = 512;
  const int64_t stretch = std::max<int64_t>(kScales / block_groups / kFeatures, 1) * kFeatures;
  Scratch scratch(kRows * size + 2 * stretch * block_groups, 3);
  float* x = scratch.take(kRows * size);
  float* scales = scratch.take(stretch * block_groups);
  float* minimums = scratch.take(stretch * block_groups);
  interleave_rows(typename Layout::D(), product.x + row * in_features + k, in_features, num_rows,
                  kRows, size, x);
  const auto widen_stretch = [&](const void* from, int64_t n, float* to) HWY_ATTR {
    const int64_t end = std::min(n + stretch, last);
    if (block_groups == num_groups) {
      widen_scales(groups.dtype, from, n * num_groups, (end - n) * num_groups, to);
      return;
    }
    for (int64_t i = n; i < end; ++i, to += block_groups) {
      widen_scales(groups.dtype, from, i * num_groups + first_group, block_groups, to);
    }
  };
  GroupFeatures<typename Layout::Value, kFeatures> tile;
  tile.begin = k;
  tile.size = size;
  tile.group_shift = group_shift(groups.group_size, Layout::kMinGroup);
  tile.next_values = kFeaturesAhead * stride;
  for (int64_t n = first; n < last; n += kFeatures) {
    const int64_t place = (n - first) % stretch;
    if (place == 0) {
      widen_stretch(groups.scales, n, scales);
      widen_stretch(groups.minimums, n, minimums);
    }
    const int64_t count = std::min<int64_t>(last - n, kFeatures);
    for (int64_t f = 0; f < kFeatures; ++f) {
      // Past the last feature it is computed again.
      const int64_t feature = std::min(f, count - 1);
      tile.values[f] = Layout::values(weight) + (n + feature) * stride + k / Layout::kValues;
      tile.scales[f] = scales + (place + feature) * block_groups;
      tile.minimums[f] = minimums + (place + feature) * block_groups;
    }
    float sums[kFeatures][kRows];
    multiply_group_rows<kFeatures, kRows>(tile, x, sums);
    for (int64_t r = 0; r < num_rows; ++r) {
      float of_row[kFeatures];
      for (int f = 0; f < kFeatures; ++f) of_row[f] = sums[f][r];
      store_sums(product, of_row, row + r, n, count, /*adds_bias=*/k == 0,
                 product.adds_to_out || k > 0);
    }
  }
}

/// For many rows each tile's weights are widened once, into the cache.
template <typename Rows>
void multiply_widened_groups(const FewRowsProduct& product, const Rows& weight, int64_t first,
                             int64_t last) {
  // Four rows of a part fill half of a usual cache of 32 KB; and they are not whole pages apart,
  // which would take turns in the same places of it.
  constexpr int64_t kPart = 1024;
  constexpr int64_t kStride = kPart + 16;
  const int64_t in_features = product.in_features;
  Scratch scratch(kTileFeatures * kStride, 1);
  float* wide = scratch.take(kTileFeatures * kStride);
  for_blocks(in_features, max_block(product), [&](int64_t k, int64_t size) HWY_ATTR {
    for (int64_t n = first; n < last; n += kTileFeatures) {
      const int64_t count = std::min(last - n, kTileFeatures);
      for (int64_t part = k; part < k + size; part += kPart) {
        const int64_t part_size = std::min(kPart, k + size - part);
        for (int64_t i = 0; i < count; ++i) {
          widen_groups(weight, in_features, n + i, part, part_size, wide + i * kStride);
        }
        FeatureTile<float>(product, part, part_size, nullptr).multiply(n, wide, kStride, count);
      }
    }
  });
}

/// Rows from which widening weights once does better than widening them for eight rows at a time.
constexpr int64_t kManyGroupRows = 48;

/// The same of 4 bits and rows of more than one block.
HWY_INLINE bool is_better_widened(const Int4Rows& /*weight*/, const FewRowsProduct& product) {
  return product.num_rows >= kManyGroupRows || product.in_features > kGroupBlock;
}

HWY_INLINE bool is_better_widened(const Int8GroupRows& /*weight*/, const FewRowsProduct& product) {
  return product.num_rows >= kManyGroupRows;
}

template <typename Layout, typename Rows>
void multiply_tiled_groups(const FewRowsProduct& product, const Rows& weight, int64_t first,
                           int64_t last) {
  if (product.num_rows == 1) {
    return multiply_groups_by_one_row<Layout>(product, weight, first, last);
  }
  if (is_better_widened(weight, product)) {
    return multiply_widened_groups(product, weight, first, last);
  }
  const int64_t num_parts = (product.num_rows + kMaxGroupRows - 1) / kMaxGroupRows;
  const int64_t num_rows = (product.num_rows + num_parts - 1) / num_parts;
  // Two or three rows have room for more; four and more have the same block, and the same results.
  const int64_t block = num_rows <= 3 ? kGroupBlock * kMaxGroupRows / num_rows : kGroupBlock;
  for_blocks(product.in_features, block, [&](int64_t k, int64_t size) HWY_ATTR {
    for (int64_t row = 0; row < product.num_rows; row += num_rows) {
      unrolled<kMaxGroupRows>([&]<int r>() HWY_ATTR {
        if (num_rows == r + 1) {
          multiply_group_block<Layout, r + 1>(product, weight, first, last, k, size, row);
        }
      });
    }
  });
}

HWY_INLINE void multiply_tiled_groups(const FewRowsProduct& product, const Int4Rows& weight,
                                      int64_t first, int64_t last) {
  multiply_tiled_groups<Int4Layout>(product, weight, first, last);
}

HWY_INLINE void multiply_tiled_groups(const FewRowsProduct& product, const Int8GroupRows& weight,
                                      int64_t first, int64_t last) {
  multiply_tiled_groups<Int8Layout>(product, weight, first, last);
}

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
