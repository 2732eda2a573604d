#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/linear.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>

#include <variant>

#include "kernels/few_rows-inl.h"
#include "kernels/group_rows-inl.h"
#include "kernels/groups-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/scratch.h"
#include "kernels/streamed_groups-inl.h"
#include "kernels/streamed_rows-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// A tile's sums stay in registers: with three vectors of x and one of a weight, these fill the 16
// of AVX2. Along k every vector of weights then serves three rows, and every one of x four
// features.
constexpr int64_t kTileFeatures = 4;
constexpr int64_t kTileRows = 3;

// So much of k is done for all rows before the rest, that a tile's weights, which every group of
// rows reads again, stay in the caches of one core; and longer stretches, while there are so few
// rows that they and x fit together. Memory gives long stretches faster.
constexpr int64_t kMinBlock = 2048;
constexpr int64_t kBlockNumbers = 32768;  // of x

/// What one tile reads: rows of x, rows of the weight, and two rows that a later tile will read.
template <typename T>
struct Tile {
  const float* x[kTileRows];
  const T* w[kTileFeatures];
  const T* next[2];
  int64_t size;  // along k
};

/// sums[i][j] = sum over k of x[i][k] * w[j][k].
template <int kRows, typename T>
HWY_INLINE void multiply_tile(const Tile<T>& tile, float (*sums)[kTileFeatures]) {
  // Each by name, because compilers keep arrays of vectors in memory.
  const float* HWY_RESTRICT x0 = tile.x[0];
  const float* HWY_RESTRICT x1 = tile.x[1];
  const float* HWY_RESTRICT x2 = tile.x[2];
  const T* HWY_RESTRICT w0 = tile.w[0];
  const T* HWY_RESTRICT w1 = tile.w[1];
  const T* HWY_RESTRICT w2 = tile.w[2];
  const T* HWY_RESTRICT w3 = tile.w[3];
  const T* next0 = tile.next[0];
  const T* next1 = tile.next[1];
  const auto zero = hn::Zero(Floats());
  auto s00 = zero, s01 = zero, s02 = zero, s03 = zero;
  auto s10 = zero, s11 = zero, s12 = zero, s13 = zero;
  auto s20 = zero, s21 = zero, s22 = zero, s23 = zero;
  const auto step = [&](const auto& load) HWY_ATTR {
    const auto a0 = load(x0);
    const auto a1 = kRows > 1 ? load(x1) : zero;
    const auto a2 = kRows > 2 ? load(x2) : zero;
    const auto add_products = [&](const T* w, FloatVec& s0, FloatVec& s1, FloatVec& s2) HWY_ATTR {
      const auto b = load(w);
      s0 = hn::MulAdd(a0, b, s0);
      if (kRows > 1) s1 = hn::MulAdd(a1, b, s1);
      if (kRows > 2) s2 = hn::MulAdd(a2, b, s2);
    };
    add_products(w0, s00, s10, s20);
    add_products(w1, s01, s11, s21);
    add_products(w2, s02, s12, s22);
    add_products(w3, s03, s13, s23);
  };
  const int64_t lanes = num_lanes();
  int64_t i = 0;
  for (; i + lanes <= tile.size; i += lanes) {
    if (kRows > 1) {
      hwy::Prefetch(next0 + i);
      hwy::Prefetch(next1 + i);
    }
    step([&](const auto* from) HWY_ATTR { return load_floats(from + i); });
  }
  if (i < tile.size) {
    step([&](const auto* from) HWY_ATTR { return load_first(from + i, tile.size - i); });
  }
  store_lane_sums({s00, s01, s02, s03}, sums[0]);
  if (kRows > 1) store_lane_sums({s10, s11, s12, s13}, sums[1]);
  if (kRows > 2) store_lane_sums({s20, s21, s22, s23}, sums[2]);
}

/// One block of k of the products of a few features with all rows.
template <typename T>
class FeatureTile {
 public:
  /// @param scales  of all features, or null
  FeatureTile(const FewRowsProduct& product, int64_t k, int64_t size, const float* scales)
      : product_(product), scales_(scales), k_(k), adds_(product.adds_to_out || k > 0) {
    tile_.size = size;
  }

  /// @param weights      feature `first`'s from k on, with those of the following ones `stride`
  ///                     apart
  /// @param num_weights  features that are there, of which at most four are multiplied
  void multiply(int64_t first, const T* weights, int64_t stride, int64_t num_weights) {
    first_ = first;
    num_features_ = std::min(num_weights, kTileFeatures);
    // Past the last feature it is computed again; and prefetched, which cannot fail.
    const auto weight = [&](int64_t i)
                            HWY_ATTR { return weights + std::min(i, num_weights - 1) * stride; };
    for (int64_t i = 0; i < kTileFeatures; ++i) tile_.w[i] = weight(i);
    const int64_t num_groups = (product_.num_rows + kTileRows - 1) / kTileRows;
    int64_t row = 0;
    for (int64_t group = 0; group < num_groups; ++group) {
      // Evenly: two groups of two rows do better than three rows and one.
      const int64_t num_rows = (product_.num_rows - row) / (num_groups - group);
      choose_next(group, num_groups, weight);
      multiply_rows(row, num_rows);
      row += num_rows;
    }
  }

 private:
  /// While a tile's weights are multiplied with one group of rows after the other, memory would be
  /// idle. So the groups share the fetching of the next tile's.
  template <typename Weight>
  void choose_next(int64_t group, int64_t num_groups, const Weight& weight) {
    const int64_t parts = std::min(num_groups, kTileFeatures);
    const int64_t begin = std::min(group, parts) * kTileFeatures / parts;
    const int64_t end = std::min(group + 1, parts) * kTileFeatures / parts;
    const bool fetches = begin < end && num_groups > 1;
    tile_.next[0] = fetches ? weight(kTileFeatures + begin) : tile_.w[0];
    tile_.next[1] = fetches ? weight(kTileFeatures + end - 1) : tile_.w[0];
  }

  void multiply_rows(int64_t row, int64_t num_rows) {
    const auto* x = product_.x + row * product_.in_features + k_;
    for (int64_t i = 0; i < kTileRows; ++i) {
      tile_.x[i] = x + std::min(i, num_rows - 1) * product_.in_features;
    }
    HWY_ALIGN float sums[kTileRows][kTileFeatures];
    if (num_rows == 3) {
      multiply_tile<3>(tile_, sums);
    } else if (num_rows == 2) {
      multiply_tile<2>(tile_, sums);
    } else {
      multiply_tile<1>(tile_, sums);
    }
    for (int64_t i = 0; i < num_rows; ++i) {
      if (scales_ != nullptr) scale(sums[i]);
      store_sums(product_, sums[i], row + i, first_, num_features_, /*adds_bias=*/k_ == 0, adds_);
    }
  }

  void scale(float* sums) const {
    for (int64_t i = 0; i < num_features_; ++i) sums[i] *= scales_[first_ + i];
  }

  const FewRowsProduct& product_;
  const float* scales_;
  int64_t k_;
  bool adds_;
  int64_t first_ = 0;
  int64_t num_features_ = 0;
  Tile<T> tile_;
};

int64_t max_block(const FewRowsProduct& product) {
  // With one group of rows every weight is used once, and x can be of any length.
  if (product.num_rows <= kTileRows) return product.in_features;
  return std::max(kMinBlock, kBlockNumbers / product.num_rows);
}

/// @param scales  of all features, or null
template <typename T>
void multiply_stored(const FewRowsProduct& product, const T* weight, const float* scales,
                     int64_t first, int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  multiply_streamed(product, weight, scales, first, last);
#else
  const int64_t in_features = product.in_features;
  for_blocks(in_features, max_block(product), [&](int64_t k, int64_t size) HWY_ATTR {
    FeatureTile<T> tile(product, k, size, scales);
    for (int64_t n = first; n < last; n += kTileFeatures) {
      tile.multiply(n, weight + n * in_features + k, in_features, last - n);
    }
  });
#endif
}

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
bool is_better_widened(const Int4Rows& /*weight*/, const FewRowsProduct& product) {
  return product.num_rows >= kManyGroupRows || product.in_features > kGroupBlock;
}

bool is_better_widened(const Int8GroupRows& /*weight*/, const FewRowsProduct& product) {
  return product.num_rows >= kManyGroupRows;
}

template <typename Layout, typename Rows>
void multiply_groups(const FewRowsProduct& product, const Rows& weight, int64_t first,
                     int64_t last) {
#if HWY_TARGET <= HWY_AVX3
  multiply_streamed_groups(product, weight, first, last);
#else
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
#endif
}

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  if (const auto* plain = std::get_if<PlainRows>(&product.weight)) {
    with_type(
        plain->dtype,
        [&](const auto* weight)
            HWY_ATTR { multiply_stored(product, weight, nullptr, first, last); },
        plain->values);
  } else if (const auto* int8 = std::get_if<Int8Rows>(&product.weight)) {
    multiply_stored(product, int8->values, int8->scales, first, last);
  } else if (const auto* int8_groups = std::get_if<Int8GroupRows>(&product.weight)) {
    multiply_groups<Int8Layout>(product, *int8_groups, first, last);
  } else if (const auto* int4 = std::get_if<Int4Rows>(&product.weight)) {
    multiply_groups<Int4Layout>(product, *int4, first, last);
  }
}

void widen_rows(const WeightRows& weight, int64_t in_features, int64_t first, int64_t last,
                float* to) {
  for (int64_t row = first; row < last; ++row, to += in_features) {
    widen_part(weight, in_features, row, 0, in_features, to);
  }
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  with_type(
      dtype, [&](const auto* numbers) HWY_ATTR { convert(count, numbers, to); }, from);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  with_type(
      dtype, [&](auto* numbers) HWY_ATTR { convert(count, from, numbers); }, to);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_rows);
HWY_EXPORT(widen);
HWY_EXPORT(widen_rows);
HWY_EXPORT(narrow);

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_rows)(product, first, last);
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(widen)(dtype, from, to, count);
}

void widen_rows(const WeightRows& weight, int64_t in_features, int64_t first, int64_t last,
                float* to) {
  HWY_DYNAMIC_DISPATCH(widen_rows)(weight, in_features, first, last, to);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(narrow)(from, dtype, to, count);
}

}  // namespace prepack
#endif
